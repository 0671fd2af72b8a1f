setmetatable(spawn(function() end), {})
