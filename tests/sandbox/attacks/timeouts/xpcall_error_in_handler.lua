while true do
  xpcall(function()
    while true do end
  end, function() error('no') end)
end
