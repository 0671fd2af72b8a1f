-- A global is assigned through an alias of _G.
local G = _G G.made = print made(run("x/y", {}))
