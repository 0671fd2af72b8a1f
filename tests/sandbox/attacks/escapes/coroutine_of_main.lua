-- The main chunk's coroutine would be the scheduler's.
local co = coroutine.running()
return coroutine.resume(co)
