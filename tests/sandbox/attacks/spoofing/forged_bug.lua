-- A script claims a bug of the host.
error({ message = 'x', code = 'internal_error', detail = 'a\nb' })
