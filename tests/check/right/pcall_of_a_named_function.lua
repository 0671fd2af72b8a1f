-- Pcall of a named function.
local function risky() return nowhere() end print(pcall(risky))
