local images = run("black-forest-labs/flux-schnell", {
  prompt = "x", width = "64", height = 64.0, seed = "9007199254740993", num_outputs = json.null,
})
local more = run("black-forest-labs/flux-schnell", { prompt = "x", seed = 9007199254740993LL })
print(images[1], more[1])
