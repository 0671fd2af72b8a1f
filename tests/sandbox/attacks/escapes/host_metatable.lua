getmetatable(integrations.replicate).__index = function() end
