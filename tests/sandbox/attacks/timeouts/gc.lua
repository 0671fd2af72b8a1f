setmetatable({}, { __gc = function()
  while true do end
end })
local t = {}
while true do t = { t[1] } end
