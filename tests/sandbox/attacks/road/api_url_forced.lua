-- flags: --force --allow-write open
download('http://emulator.localhost/v1/webhooks/default/secret', 'open/out')
