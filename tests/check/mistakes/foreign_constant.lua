local images = run("black-forest-labs/flux-schnell", { prompt = "a barn", go_fast = True })
print(images[1])
