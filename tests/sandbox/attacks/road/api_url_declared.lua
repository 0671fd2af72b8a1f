--@ needs: download
-- flags: --allow-write open
download('http://emulator.localhost/v1/account', 'open/out')
