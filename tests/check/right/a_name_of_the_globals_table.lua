-- A name of the globals' table.
local G = _G G.made = print made(run("x/y", {}))
