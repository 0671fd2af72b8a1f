-- An iterator with __call.
local items = setmetatable({}, { __call = function() return nil end })
for item in items do print(item) end
