-- The error of a call is changed before it is raised again.
local _, failure = pcall(integrations.replicate.get_model, {})
failure.code = 'limit_reached'
error(failure)
