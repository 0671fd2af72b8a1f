--@ models: stability-ai/*
integrations.replicate.create_prediction{ version = 'v', input = {} }
