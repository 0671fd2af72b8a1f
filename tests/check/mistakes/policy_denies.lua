-- flags: --write deny
print(run("black-forest-labs/flux-schnell", { prompt = "a barn" })[1])
