-- A script may replace functions in its own table; the host's next call still uses the host's function.
local get = integrations.replicate.get_account
rawset(integrations.replicate, 'get_account', function() return 'forged' end)
error(get{}.type)
