local text = ('x'):rep(1000)
while true do pcall(string.byte, text, 1, 100) end
