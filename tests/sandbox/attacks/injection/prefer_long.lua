integrations.replicate.create_prediction{ version = 'v', input = {}, prefer = 'wait=999999' }
