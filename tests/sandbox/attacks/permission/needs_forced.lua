-- flags: --force
--@ needs: get_account
integrations.replicate.create_prediction{ version = 'v', input = {} }
