local a
a = spawn(function()
  pcall(a.cancel, a)
  while true do pcall(a.cancel, a) end
end)
sleep(0.01)
while true do end
