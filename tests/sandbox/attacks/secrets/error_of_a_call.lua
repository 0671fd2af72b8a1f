-- The error for a failed answer shows no request header.
local ok, e = pcall(integrations.replicate.get_prediction, { prediction_id = 'x' })
for k, v in pairs(e) do assert(not tostring(v):find('Bearer') and not tostring(k):find('uthorization')) end
error(e)
