integrations.replicate.create_prediction{ version = 'v', input = {}, webhook = 'file:///etc/passwd' }
