-- A function returns a value only in a branch.
local function f(x) if x then return "y" end end
print("x" .. f(1), #f(2))
