integrations.replicate.get_prediction{ prediction_id = '../account' }
