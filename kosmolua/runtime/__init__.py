"""The Lua host: sandboxed LuaJIT states in this process or in a child, independent of Replicate."""
