local get = integrations.replicate.get_account
integrations, app = nil, nil
error(get{}.type)
