--@ needs: get_account
local f = integrations.replicate['list_' .. 'predictions']
spawn(function() f{} end):await()
