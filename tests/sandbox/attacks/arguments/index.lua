integrations.replicate.get_prediction(setmetatable({}, { __index = function() return 'x' end }))
