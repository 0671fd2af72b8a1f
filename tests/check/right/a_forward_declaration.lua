-- A forward declaration.
local f local function g() return f() end f = function() return 1 end print(g())
