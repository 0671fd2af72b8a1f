return integrations.replicate[('x'):rep(5e6)]
