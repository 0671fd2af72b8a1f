-- pcall catches the error of a local function.
local function risky() return nowhere() end print(pcall(risky))
