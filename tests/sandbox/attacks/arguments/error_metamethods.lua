error(setmetatable({}, { __index = function() error('read') end, __tostring = function() error('shown') end }))
