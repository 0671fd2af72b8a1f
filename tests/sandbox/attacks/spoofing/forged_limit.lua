-- A script says of itself that a limit ended it.
error({ message = 'x', code = 'limit_reached' })
