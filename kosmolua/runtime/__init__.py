"""The Lua host: sandboxed LuaJIT states, in this process or in a child. This package knows nothing about Replicate."""
