local prompt = args[1] or "a barn"
local images = run("black-forest-labs/flux-schnell", { prompt = promtp })
print(images[1])
