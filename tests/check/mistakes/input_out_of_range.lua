local images = run("black-forest-labs/flux-schnell", { prompt = "a barn", num_outputs = 40 })
print(images[1])
