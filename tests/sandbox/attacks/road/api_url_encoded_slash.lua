-- flags: --write deny --allow-write open
download('http://emulator.localhost/v1%2fwebhooks%2fdefault%2fsecret', 'open/out')
