-- Globals are assigned under computed names.
for _, name in ipairs { "a", "b" } do _G[name] = print end a(run("x/y", {}))
