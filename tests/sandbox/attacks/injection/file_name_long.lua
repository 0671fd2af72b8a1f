integrations.replicate.create_file{ content = 'x', filename = ('a'):rep(300) }
