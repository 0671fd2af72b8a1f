-- Names made by setmetatable.
setmetatable(_G, { __index = function() return print end }) anything(run("x/y", {}))
