-- flags: --cpu-limit 5
local empty, all = {}, {}
for i = 1, 200000 do all[i] = empty end
integrations.replicate.create_prediction{ version = 'v', input = { all = all } }
