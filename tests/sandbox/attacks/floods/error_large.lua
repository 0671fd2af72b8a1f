error(('x'):rep(5e6))
