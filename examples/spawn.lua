-- Paint in a task while the script searches for an upscaler.
-- $ kosmo lua --emulate examples/spawn.lua

local painting = spawn(function(prompt)
  local images = run("black-forest-labs/flux-schnell", { prompt = prompt, seed = 5 })
  return images[1]
end, "a bridge in the fog")

-- Cancel a task that is no longer needed, so that the script can end.
local clock = spawn(function()
  while true do sleep(0.05) end
end)

local found = assert(replicate.search { query = "upscale" }.models[1], "no upscaler found")
local upscaler = found.model
print("found:   " .. upscaler.owner .. "/" .. upscaler.name)
print("the painter is " .. painting:status())

local large = run(upscaler.owner .. "/" .. upscaler.name, { image = painting:await(), scale = 2 })
print("enlarged: " .. large.url:match("[^/]+$"))
print("the clock is canceled: " .. tostring(clock:cancel()))

--> found:   nightmareai/real-esrgan
--> the painter is running
--> enlarged: out.png
--> the clock is canceled: true
