-- Metamethods define operators for nil and tables.
local v = setmetatable({}, { __add = function() return 1 end, __concat = function() return "" end })
print(v + nil, v .. nil, nil .. v, v + {})
