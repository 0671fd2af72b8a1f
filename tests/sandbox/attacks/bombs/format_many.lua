return #string.format(('%s'):rep(200), unpack((function()
  local t, s = {}, ('x'):rep(1e6)
  for i = 1, 200 do t[i] = s end
  return t
end)()))
