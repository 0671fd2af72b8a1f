-- An undefined global has a default.
local f = maybe or print f(run("a/b", {}))
