integrations.replicate.get_prediction{ prediction_id = '%2e%2e%2faccount' }
