local input = { promt = "a barn" }
print(run("black-forest-labs/flux-schnell", input)[1])
