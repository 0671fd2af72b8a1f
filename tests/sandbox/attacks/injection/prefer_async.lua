integrations.replicate.create_prediction{ version = 'v', input = {}, prefer = 'respond-async, wait' }
