-- flags: --write ask
integrations.replicate.create_prediction{ version = 'v', input = {} }
