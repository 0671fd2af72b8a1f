while true do pcall(print, ('x'):rep(9999)) end
