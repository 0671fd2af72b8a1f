-- flags: --allow-write open
append_file('open/link.txt', 'x')
