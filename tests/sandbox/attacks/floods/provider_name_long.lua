return integrations[('x'):rep(5e6)]
