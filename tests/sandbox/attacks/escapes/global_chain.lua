-- No table reachable from the globals has an excluded function.
local bad, seen = {}, {}
local names = { 'execute', 'getregistry', 'loadlib', 'eval', 'popen', 'exit', 'getenv', 'cdef' }
local function walk(t)
  if type(t) ~= 'table' or seen[t] then return end
  seen[t] = true
  for _, name in ipairs(names) do
    if rawget(t, name) then bad[#bad + 1] = name end
  end
  for k, v in next, t do
    walk(k)
    walk(v)
  end
end
walk(_G)
error('found: ' .. table.concat(bad, ' '))
