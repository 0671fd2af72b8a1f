--@ needs: get_account
integrations.replicate.get_account{}
integrations.replicate.list_predictions{}
