local raise = error
function error() end
local ok, e = pcall(integrations.replicate.get_prediction, {})
raise(tostring(ok) .. ' ' .. e.code)
