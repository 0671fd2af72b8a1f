local a, b
a = spawn(function() b:await() end)
b = spawn(function() a:await() end)
a:await()
