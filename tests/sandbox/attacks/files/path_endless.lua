integrations.replicate.create_file{ path = ('a/'):rep(1e6) }
