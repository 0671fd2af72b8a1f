-- Every field is of a type that it cannot have.
error({ message = 'x', code = 404, hint = 7, where = 5, ['function'] = {}, status = 'a', retry_after = print, detail = {} })
