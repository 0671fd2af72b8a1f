return load('\27LJ\2\2\3', 'x', 'b')
