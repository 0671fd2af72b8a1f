-- flags: --write deny --allow-write open
download('http://emulator.localhost/delivery/../v1/webhooks/./default/secret', 'open/out')
