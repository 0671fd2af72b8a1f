local images = run("black-forest-labs/flux-schnell", { promt = "a barn" })
print(images[1])
