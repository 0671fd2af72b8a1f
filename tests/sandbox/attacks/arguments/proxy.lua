-- A proxy table returns one value on the first read, and another on the next.
local looks = 0
local proxy = setmetatable({}, { __index = function()
  looks = looks + 1
  return looks == 1 and 'harmless' or '../account'
end })
local ok, e = pcall(integrations.replicate.get_prediction, proxy)
error(looks .. ' looks: ' .. e.message)
