-- The script changes the error of a call before raising it again.
local _, failure = pcall(integrations.replicate.get_model, {})
failure.code = 'limit_reached'
error(failure)
