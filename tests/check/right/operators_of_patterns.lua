-- Metamethods define operators for patterns and text, as in LPeg.
local Pattern = { __add = function(a) return a end, __mul = function(a) return a end, __len = function(a) return a end }
local P = setmetatable({}, Pattern)
print("x" + P, #P * "a", P * "b" + "c", P ^ 1)
