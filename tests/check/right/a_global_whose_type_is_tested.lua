-- A global is called only if its type is function.
if type(maybe) == "function" then maybe() end
