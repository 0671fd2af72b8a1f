race({ function()
  while true do end
end, function() return 1 end })
return 'survived'
