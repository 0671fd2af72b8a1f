-- Adding one to these levels changes nothing.
local found = {}
for _, level in ipairs({ 2 ^ 53, 1e300, math.huge, 0 / 0, -1e300 }) do
  found[#found + 1] = debug.traceback("x", level)
end
return #found
