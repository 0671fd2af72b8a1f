-- flags: --write deny
integrations.replicate.create_prediction{ version = 'v', input = {} }
