return #('x'):rep(5e7)
