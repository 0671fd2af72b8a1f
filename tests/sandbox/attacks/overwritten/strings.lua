for name in pairs(string) do string[name] = function() return 'forged' end end
error(integrations.replicate.get_account{}.type)
