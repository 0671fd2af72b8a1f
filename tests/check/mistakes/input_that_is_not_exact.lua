local first = run("black-forest-labs/flux-schnell", {
  prompt = "x",
  width = "64 px",
})
local second = run("nightmareai/real-esrgan", { image = "cat.png" })
replicate.create_model_prediction({
  model_owner = "black-forest-labs",
  model_name = "flux-schnell",
  input = { prompt = "x", width = "64" },
})
print(first, second)
