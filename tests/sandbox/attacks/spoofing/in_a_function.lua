return integrations.replicate['\27[2Jget_account']
