integrations.replicate.get_prediction{ prediction_id = '\192\175' }
