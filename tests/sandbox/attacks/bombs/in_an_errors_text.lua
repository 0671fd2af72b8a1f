-- flags: --cpu-limit 5
local t = {}
error(setmetatable({}, { __tostring = function()
  while true do t[#t + 1] = {} end
end }))
