-- A local table has the name of a standard library.
local string = { fmt = print } string.fmt(run("a/b", {}))
