local images = run("black-forest-labs/flux-schnell", { prompt = "a barn" })
download(images)
