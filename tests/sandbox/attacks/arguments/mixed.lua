integrations.replicate.create_prediction{ version = 'v', input = { 1, a = 2 } }
