function type() return 'string' end
error(integrations.replicate.get_account{}.type)
