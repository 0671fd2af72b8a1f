-- flags: --cpu-limit 5
-- The memory that is left must suffice to report the limit.
local t = {}
pcall(function()
  while true do t[#t + 1] = ('x'):rep(100) .. #t end
end)
error(t)
