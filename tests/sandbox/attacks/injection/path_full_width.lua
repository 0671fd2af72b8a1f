-- The id has full-width dots and a division slash.
integrations.replicate.get_prediction{ prediction_id = '\239\188\142\239\188\142\226\136\149account' }
