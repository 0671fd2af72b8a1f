-- A script may replace what is in its own table; the next call to the host is the host's all the same.
local get = integrations.replicate.get_account
rawset(integrations.replicate, 'get_account', function() return 'forged' end)
error(get{}.type)
