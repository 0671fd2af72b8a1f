integrations.replicate.get_prediction{ prediction_id = 'x HTTP/1.1\r\nHost: evil\r\n\r\nGET /' }
