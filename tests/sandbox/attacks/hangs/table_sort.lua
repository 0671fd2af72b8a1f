local t = {}
for i = 1, 5e5 do t[i] = i % 1000 end
while true do
  table.sort(t)
  table.sort(t, function(a, b) return a > b end)
end
