integrations.replicate.get_model{ model_owner = '..', model_name = 'account' }
