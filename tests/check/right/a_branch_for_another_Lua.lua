-- A branch for another Lua.
if unpack_all then other(unpack_all) else run("a/b", {}) end
