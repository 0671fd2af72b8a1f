error({ message = 'x', where = '\27[2J/etc/passwd:1' })
