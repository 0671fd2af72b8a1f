-- A script pretends that a limit ended the run.
error({ message = 'x', code = 'limit_reached' })
