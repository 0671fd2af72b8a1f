local t = setmetatable({}, { __tostring = function(t) return 'x' .. tostring(t) end })
print(t)
