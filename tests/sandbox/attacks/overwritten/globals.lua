local get = integrations.replicate.get_prediction
local own = _G
for name in pairs(own) do own[name] = nil end
return get{}
