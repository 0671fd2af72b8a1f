integrations.replicate.create_prediction{ version = 'v', input = { s = '\255\254' } }
