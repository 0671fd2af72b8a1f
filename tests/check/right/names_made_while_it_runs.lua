-- Names made while it runs.
for _, name in ipairs { "a", "b" } do _G[name] = print end a(run("x/y", {}))
