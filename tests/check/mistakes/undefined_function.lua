local images = run("black-forest-labs/flux-schnell", { prompt = "a barn" })
upload_to_gallery(images[1])
