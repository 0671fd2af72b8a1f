-- flags: --allow-write .
return io.open('secret.txt', 'w')
