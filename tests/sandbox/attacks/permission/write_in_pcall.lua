-- flags: --write deny
local refused = 0
for _ = 1, 3 do
  local ok, e = pcall(function() integrations.replicate.create_prediction{ version = 'v', input = {} } end)
  refused = refused + (ok and 0 or 1)
end
error(refused .. ' refused')
