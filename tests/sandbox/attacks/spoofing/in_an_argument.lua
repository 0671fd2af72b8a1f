-- flags: --write ask
integrations.replicate.create_prediction{ version = '\27[2Jv', input = { ['\27[2J'] = '\226\128\174' } }
