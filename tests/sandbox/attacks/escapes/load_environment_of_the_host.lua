-- Host functions keep their libraries when a script removes the globals.
local env = setmetatable({}, { __index = _G, __newindex = _G })
load('string, table, type, pcall, error = nil', 'x', 't', env)()
_G.string, _G.table, _G.tostring, _G.rawget = nil
return integrations.replicate.get_account{}.username ~= nil, json.encode({ 1 })
