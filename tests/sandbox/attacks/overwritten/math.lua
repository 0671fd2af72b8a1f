math.floor = function() return 7 end
math.huge = 0
integrations.replicate.get_prediction{ prediction_id = 1.5 }
