-- A script says that the host is broken.
error({ message = 'x', code = 'internal_error', detail = 'a\nb' })
