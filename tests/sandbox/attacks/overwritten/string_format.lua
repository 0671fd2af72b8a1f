string.format = function() return 'forged' end
integrations.replicate.get_prediction{ nope = 1 }
