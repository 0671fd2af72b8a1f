function pcall() return true end
function xpcall() return true end
integrations.replicate.get_prediction{}
