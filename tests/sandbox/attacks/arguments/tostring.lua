integrations.replicate.get_prediction{ prediction_id = setmetatable({}, { __tostring = function() return 'x' end }) }
