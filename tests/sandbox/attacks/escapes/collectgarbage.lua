-- The memory limit relies on the collector: options that would stop it do nothing.
collectgarbage('stop')
collectgarbage('setpause', 1e6)
local parts = {}
for i = 1, 20000 do
  parts[1] = ('x'):rep(1e4 + i)
end
return collectgarbage('count') < 20000
