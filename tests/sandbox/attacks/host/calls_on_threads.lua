parallel({ 1, 2, 3, 4 }, function() while true do pcall(replicate.get_account) end end)
