integrations.replicate.get_prediction{ prediction_id = 'x\r\nX-Evil: 1' }
