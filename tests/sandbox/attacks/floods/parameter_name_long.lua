-- flags: --memory-limit 128M --cpu-limit 5
integrations.replicate.get_prediction{ [('x'):rep(5e6)] = 1 }
