local images = run("black-forest-labs/flux-schnell", { num_outputs = 2 })
print(images[1])
