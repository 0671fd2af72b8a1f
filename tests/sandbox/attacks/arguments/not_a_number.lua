integrations.replicate.create_prediction{ version = 'v', input = { n = 0 / 0 } }
