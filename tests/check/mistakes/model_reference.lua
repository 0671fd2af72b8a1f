print(run("flux-schnell", { prompt = "a barn" })[1])
