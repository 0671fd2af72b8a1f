coroutine.yield('to whom?')
