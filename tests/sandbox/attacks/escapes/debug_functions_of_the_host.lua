-- Frames below the script, and frames of host functions that the script calls, have no name, file or function.
local found = {}
local function look()
  for level = 0, 40 do
    local info = debug.getinfo(level, 'nSlfuL')
    if info then found[#found + 1] = info end
  end
end
setmetatable(found, nil)
json.encode(setmetatable({}, { __index = look }))
table.sort({ 2, 1 }, function(a, b) look() return a < b end)
parallel({ 1 }, look)
local bad = 0
for _, info in ipairs(found) do
  if info.func or info.activelines or (info.source ~= '=[C]' and info.source ~= "@attack.lua") then bad = bad + 1 end
end
return bad, #found > 0, debug.getinfo(print).source, debug.getinfo(json.encode, 'f').func
