-- flags: --cpu-limit 5
local t = { 'lol' }
for _ = 1, 40 do t = { t, t } end
integrations.replicate.create_prediction{ version = 'v', input = { t = t } }
