pcall(exit, 6)
coroutine.wrap(function() pcall(exit, 7) end)()
return 'still running'
