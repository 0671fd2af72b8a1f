integrations.replicate.get_prediction{ prediction_id = 'x\0y' }
