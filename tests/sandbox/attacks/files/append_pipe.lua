-- flags: --allow-write open
append_file('open/pipe', 'x')
