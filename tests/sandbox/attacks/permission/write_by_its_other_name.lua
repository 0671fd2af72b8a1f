-- flags: --write deny
integrations.replicate.replicate_create_prediction{ version = 'v', input = {} }
