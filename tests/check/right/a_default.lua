-- A default.
local f = maybe or print f(run("a/b", {}))
