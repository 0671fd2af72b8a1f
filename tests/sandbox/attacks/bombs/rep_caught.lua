while true do pcall(string.rep, 'x', 5e7) end
