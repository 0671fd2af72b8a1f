-- Another function is assigned to a local variable.
local f = function() end f = tostring print("x" .. f(1))
