while true do pcall(integrations.replicate.get_prediction, { nope = 1 }) end
