integrations.replicate.get_prediction{ ['{0.__class__}%s%n'] = 1 }
