integrations.replicate.create_file{ path = 'secret.txt' }
