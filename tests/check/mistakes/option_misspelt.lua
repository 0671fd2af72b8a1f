local images = run("black-forest-labs/flux-schnell", { prompt = "a barn" }, { time_out = 60 })
print(images[1])
