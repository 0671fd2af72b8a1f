local co
spawn(function() co = coroutine.running() sleep(0.05) end)
sleep(0)
return coroutine.resume(co, { 'ok', 1, 'forged' })
