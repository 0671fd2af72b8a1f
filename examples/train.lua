-- Train a version of your own model, and run it.
-- $ kosmo lua --emulate examples/train.lua

local base = replicate.get_model { model_owner = "stability-ai", model_name = "sdxl" }
local version = assert(base.latest_version, "the model has no version")

local training = replicate.create_training {
  model_owner = base.owner,
  model_name = base.name,
  version_id = version.id,
  destination = "emulator/my-sdxl",
  input = { input_images = args[1] or "https://example.com/pictures.zip", token_string = "MINE" },
}
print("training: " .. training.status)

training = wait(training, { timeout = 3600, cancel_on_timeout = true })
print("training: " .. training.status)

local trained = assert(training.output, training.error)
local images = run(assert(trained.version), { prompt = "MINE, at night", seed = 3 })
print("pictures: " .. #images)

--> training: starting
--> training: succeeded
--> pictures: 1
