spawn(function() coroutine.yield({}) end):await()
