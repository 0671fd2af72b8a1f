return integrations.replicate['replicate.get_account'] or integrations['replicate.get_account']
