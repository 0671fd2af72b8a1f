-- Only the host can report this end.
error({ message = 'x', code = 'interrupted' })
