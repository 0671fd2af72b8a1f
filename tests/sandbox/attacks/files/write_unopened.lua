write_file('x.txt', 'x')
