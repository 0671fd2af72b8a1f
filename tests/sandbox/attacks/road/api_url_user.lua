-- flags: --write deny --allow-write open
download('http://a:b@emulator.localhost/v1/webhooks/default/secret', 'open/out')
