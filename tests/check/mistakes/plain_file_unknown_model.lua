print(run("acme/upscaler", { image = "pictures/cat.png" }))
