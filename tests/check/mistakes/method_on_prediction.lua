local prediction = replicate.create("black-forest-labs/flux-schnell", { prompt = "a barn" })
prediction:wait()
print(prediction.output[1])
