xpcall(error, function() error('again') end)
local function f() return xpcall(error, f) end
while true do f() end
