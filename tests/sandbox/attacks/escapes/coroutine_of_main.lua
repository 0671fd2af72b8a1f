-- The main chunk runs in the scheduler's coroutine, which a script must not get.
local co = coroutine.running()
return coroutine.resume(co)
