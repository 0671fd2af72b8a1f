local seen = {}
local function walk(value)
  if type(value) == 'string' then
    if value:find('Marked', 1, true) then error('found') end
  elseif type(value) == 'table' and not seen[value] then
    seen[value] = true
    for k, v in next, value do
      walk(k)
      walk(v)
    end
  end
end
walk(_G)
error('nothing')
