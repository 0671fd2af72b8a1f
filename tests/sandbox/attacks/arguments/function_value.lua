integrations.replicate.create_prediction{ version = 'v', input = { f = print } }
