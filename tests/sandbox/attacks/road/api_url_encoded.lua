-- flags: --write deny --allow-write open
download('http://emulator.localhost/%76%31/webhooks/default/%73ecret', 'open/out')
