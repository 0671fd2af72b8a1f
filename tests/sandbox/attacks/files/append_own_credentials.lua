-- flags: --allow-write .
append_file('open/hard', 'x')
