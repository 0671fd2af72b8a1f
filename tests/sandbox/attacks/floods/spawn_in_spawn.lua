-- flags: --cpu-limit 5
local function more()
  spawn(more)
  spawn(more)
end
more()
