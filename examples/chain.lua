-- Let a text model write a prompt, an image model paint it, and an upscaler enlarge the picture.
-- $ kosmo lua --emulate examples/chain.lua -- "a fox in the snow"

local subject = args[1] or "a fox in the snow"

-- Print each change of a prediction's status or progress.
local function reporter(name)
  local last
  return function(prediction, progress)
    local now = prediction.status .. (progress and (" %d %%"):format(progress.percent) or "")
    if now ~= last then print(("%-9s %s  %s"):format(name, prediction.id, now)) end
    last = now
  end
end

local description = run("meta/meta-llama-3-8b-instruct", {
  prompt = "Describe " .. subject,
  max_tokens = 14,
  temperature = 0,
}, { on_progress = reporter("text"), wait = false })
print("prompt:   " .. description)

local images = run("black-forest-labs/flux-schnell", { prompt = description, seed = 7 },
  { on_progress = reporter("image"), wait = false })

local large = run("nightmareai/real-esrgan", { image = images[1], scale = 2 },
  { on_progress = reporter("upscale"), wait = false })

print("picture:  " .. large)

--> text      …  starting
--> …
--> prompt:   Think of the fox snow at the edge of a wide valley. It is
--> …
--> image     …  succeeded 100 %
--> …
--> upscale   …  succeeded 100 %
--> picture:  http://emulator.localhost/delivery/…/out.png
