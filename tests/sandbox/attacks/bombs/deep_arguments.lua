local t = {}
for _ = 1, 300 do t = { t } end
integrations.replicate.create_prediction{ version = 'v', input = { t = t } }
