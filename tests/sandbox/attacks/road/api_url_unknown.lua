-- flags: --allow-write open
download('http://emulator.localhost/v1/anything/else', 'open/out')
