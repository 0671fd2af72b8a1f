while true do print(('x'):rep(50000)) end
