integrations.replicate.create_file{ path = '\27[2J\226\128\174.png' }
