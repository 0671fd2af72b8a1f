json.encode = function() error('mine') end
json = nil
error(integrations.replicate.get_account{}.type)
