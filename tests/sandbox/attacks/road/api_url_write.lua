-- flags: --write deny --allow-write open
download('http://emulator.localhost/v1/predictions/p/cancel', 'open/out')
