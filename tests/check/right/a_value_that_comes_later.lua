-- A value that comes later.
local text local function set() text = "x" end set() print("a" .. text)
