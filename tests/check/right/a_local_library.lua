-- A local library.
local string = { fmt = print } string.fmt(run("a/b", {}))
