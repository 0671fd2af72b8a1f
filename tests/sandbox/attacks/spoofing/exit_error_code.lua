error({ code = 'exited', message = 'm', status = 0 })
