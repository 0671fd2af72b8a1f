integrations.replicate.get_prediction{ prediction_id = ('x'):rep(1e6) }
