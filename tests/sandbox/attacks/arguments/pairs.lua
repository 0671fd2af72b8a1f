integrations.replicate.get_prediction(setmetatable({}, { __pairs = function() return next, { prediction_id = 'x' } end }))
