-- Only the host can report an interruption.
error({ message = 'x', code = 'interrupted' })
