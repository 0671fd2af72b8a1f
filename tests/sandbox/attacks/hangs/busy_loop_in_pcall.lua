while true do pcall(function() for _ = 1, 1e9 do end end) end
