-- Every field of the error has an invalid type.
error({ message = 'x', code = 404, hint = 7, where = 5, ['function'] = {}, status = 'a', retry_after = print, detail = {} })
