-- flags: --write deny --allow-write open
download('http://emulator.localhost/%2576%2531/webhooks/default/secret', 'open/out')
