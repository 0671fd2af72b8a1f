local images = run("black-forest-labs/flux-schnell", { prompt = "a barn" }, { timeout = "60" })
print(images[1])
