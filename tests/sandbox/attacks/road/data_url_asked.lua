-- flags: --read ask --allow-write open
download('DATA:text/plain;base64,aGVsbG8=', 'open/out')
