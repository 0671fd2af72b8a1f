print(run("nightmareai/real-esrgan", { image = "cat.png", scale = 2 }))
