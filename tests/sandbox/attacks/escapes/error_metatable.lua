local _, e = pcall(integrations.replicate.get_prediction, {})
getmetatable(e).__tostring = nil
