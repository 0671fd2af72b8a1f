-- flags: --allow-write .
write_file('secret.txt', 'x')
