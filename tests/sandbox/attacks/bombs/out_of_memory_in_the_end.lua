-- flags: --cpu-limit 5
-- What is left when the memory is full must do to tell so.
local t = {}
pcall(function()
  while true do t[#t + 1] = ('x'):rep(100) .. #t end
end)
error(t)
