-- A script claims that a limit ended it.
error({ message = 'x', code = 'limit_reached' })
