local n = 0
for i = 1, 1e15 do n = n + i % 7 end
return n
