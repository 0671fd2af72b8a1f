-- A table with the metamethod __call is an iterator.
local items = setmetatable({}, { __call = function() return nil end })
for item in items do print(item) end
