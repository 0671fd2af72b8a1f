setmetatable(getmetatable('') or {}, { __index = 1 })
return ('x'):nope()
