integrations.replicate.create_prediction{ version = 'v', input = {}, cancel_after = '5m\nX-Evil: 1' }
