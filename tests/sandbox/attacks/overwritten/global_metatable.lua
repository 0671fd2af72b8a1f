setmetatable(_G, { __index = function(_, name) return name end, __newindex = function() end })
integrations.replicate.get_prediction{}
