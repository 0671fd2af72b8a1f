parallel({ 1, 2 }, function()
  while true do end
end, { on_error = 'collect' })
return 'survived'
