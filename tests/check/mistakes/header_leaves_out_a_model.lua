--@ models: black-forest-labs/*

local images = run("black-forest-labs/flux-schnell", { prompt = "a barn" })
print(run("nightmareai/real-esrgan", { image = images[1] }).url)
