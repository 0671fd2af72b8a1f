local a
a = spawn(function() a:await() end)
a:await()
