error({ message = 'told all the same', hint = '\255\27', status = 0 / 0, detail = print, retry_after = math.huge })
