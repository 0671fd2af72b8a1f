parallel({ 1, 2, 3 }, function()
  while true do sleep(0) end
end)
