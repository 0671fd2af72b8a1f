-- Short calls of C functions repeat endlessly.
local text = ('x'):rep(1000)
while true do text = text:upper():lower():reverse() end
