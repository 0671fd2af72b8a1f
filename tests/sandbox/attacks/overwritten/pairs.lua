pairs, ipairs, next = nil, nil, nil
error(integrations.replicate.get_account{}.type)
