-- flags: --cpu-limit 5
-- LuaJIT does not survive every end of its memory; the end is told as what it is.
local t = {}
pcall(function()
  while true do t[#t + 1] = ('x'):rep(10) .. #t end
end)
error({ message = 'm', hint = 'h' })
