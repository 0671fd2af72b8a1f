local t = {}
t.t = t
integrations.replicate.create_prediction{ version = 'v', input = t }
