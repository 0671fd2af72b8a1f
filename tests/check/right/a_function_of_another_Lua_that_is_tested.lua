-- A global of another Lua is called only if it exists.
if unpack_all then other(unpack_all) else run("a/b", {}) end
