return integrations.replicate['../work'].get_account{}
