-- flags: --memory-limit 512M --cpu-limit 5
local function f() return coroutine.wrap(f)() end
f()
