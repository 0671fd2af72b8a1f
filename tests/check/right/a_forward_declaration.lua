-- A local function is declared before its value is assigned.
local f local function g() return f() end f = function() return 1 end print(g())
