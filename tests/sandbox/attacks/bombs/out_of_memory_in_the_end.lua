-- flags: --cpu-limit 5
-- The remaining memory must be enough to report the limit.
local t = {}
pcall(function()
  while true do t[#t + 1] = ('x'):rep(100) .. #t end
end)
error(t)
