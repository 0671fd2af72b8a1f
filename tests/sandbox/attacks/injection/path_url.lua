integrations.replicate.get_prediction{ prediction_id = 'http://127.0.0.1:1/' }
