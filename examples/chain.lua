-- A text model writes a prompt, an image model paints it, an upscaler enlarges the picture.
-- kosmo lua --emulate examples/chain.lua -- "a fox in the snow"

local replicate = integrations.replicate
local DONE = { succeeded = true, failed = true, canceled = true, aborted = true }

-- Polls until the prediction has ended, saying what it does meanwhile.
local function finish(name, prediction)
  local status
  while true do
    if prediction.status ~= status then
      status = prediction.status
      print(("%-9s %s  %s"):format(name, prediction.id, status))
    end
    if DONE[status] then break end
    sleep(0.2)
    prediction = replicate.get_prediction { prediction_id = prediction.id }
  end
  if status ~= "succeeded" then
    error(("%s ended as %s: %s"):format(name, status, prediction.error or "no reason given"), 0)
  end
  return prediction.output
end

local subject = args[1] or "a fox in the snow"

local words = finish("text", replicate.create_model_prediction {
  model_owner = "meta",
  model_name = "meta-llama-3-8b-instruct",
  input = { prompt = "Describe a painting of " .. subject .. ", in one sentence.", max_tokens = 40 },
})
local description = table.concat(words)
print("prompt:   " .. description)

local images = finish("image", replicate.create_model_prediction {
  model_owner = "black-forest-labs",
  model_name = "flux-schnell",
  input = { prompt = description, seed = 7 },
})

local upscaler = replicate.get_model { model_owner = "nightmareai", model_name = "real-esrgan" }
local large = finish("upscale", replicate.create_prediction {
  version = upscaler.latest_version.id,
  input = { image = images[1], scale = 2 },
})

print("picture:  " .. large)
return { description = description, image = images[1], enlarged = large }
