--@ needs: get_account
print(1)
--@ needs: *
integrations.replicate.list_predictions{}
