-- An end that only the host can tell of.
error({ message = 'x', code = 'interrupted' })
