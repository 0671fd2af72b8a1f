-- Patterns that are added to texts, as LPeg's are.
local Pattern = { __add = function(a) return a end, __mul = function(a) return a end, __len = function(a) return a end }
local P = setmetatable({}, Pattern)
print("x" + P, #P * "a", P * "b" + "c", P ^ 1)
