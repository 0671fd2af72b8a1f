require('\27[2J')
