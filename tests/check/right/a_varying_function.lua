-- A varying function.
local f = function() end f = tostring print("x" .. f(1))
