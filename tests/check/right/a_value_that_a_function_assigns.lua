-- A function assigns the value of a local variable.
local text local function set() text = "x" end set() print("a" .. text)
