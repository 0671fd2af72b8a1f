-- flags: --memory-limit 128M --output-limit 1G --cpu-limit 5
local empty, all = {}, {}
for i = 1, 1100000 do all[i] = empty end
return all
