-- Short calls of C, without an end.
local text = ('x'):rep(1000)
while true do text = text:upper():lower():reverse() end
