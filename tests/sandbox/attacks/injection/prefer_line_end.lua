integrations.replicate.create_prediction{ version = 'v', input = {}, prefer = 'wait=5\r\nX-Evil: 1' }
