integrations.replicate.get_prediction{ prediction_id = 'x?cursor=1#frag' }
