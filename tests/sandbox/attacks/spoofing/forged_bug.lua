-- A script pretends that the host has a bug.
error({ message = 'x', code = 'internal_error', detail = 'a\nb' })
