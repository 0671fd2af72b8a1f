-- flags: --write deny --allow-write open
download('https://emulator.localhost/v1/webhooks/default/secret', 'open/out')
