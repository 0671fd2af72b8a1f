-- flags: --cpu-limit 5
local t = 'lol'
for _ = 1, 40 do t = { t, t } end
return t
