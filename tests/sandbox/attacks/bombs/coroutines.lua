-- flags: --cpu-limit 5
local all = {}
while true do all[#all + 1] = coroutine.create(print) end
