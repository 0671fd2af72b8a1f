local parts = {}
for i = 1, 1e9 do
  parts[i] = load('return ' .. i, '=chunk' .. i)
end
