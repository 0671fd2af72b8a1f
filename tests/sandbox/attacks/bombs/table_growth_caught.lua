-- flags: --cpu-limit 5
local t = {}
for _ = 1, 1e9 do
  pcall(function()
    while true do t[#t + 1] = {} end
  end)
end
