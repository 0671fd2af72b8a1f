local t = { 'lol' }
for _ = 1, 7 do
  local wider = {}
  for i = 1, 200 do wider[i] = t end
  t = wider
end
dump(t)
