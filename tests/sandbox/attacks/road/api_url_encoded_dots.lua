-- flags: --write deny --allow-write open
download('http://emulator.localhost/delivery/p/%2e%2e/%2E%2e/v1/webhooks/default/secret', 'open/out')
