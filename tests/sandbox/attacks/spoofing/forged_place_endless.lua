error({ message = 'x', where = 'attack.lua:' .. ('9'):rep(5000), status = 1e300, retry_after = -1e300 })
