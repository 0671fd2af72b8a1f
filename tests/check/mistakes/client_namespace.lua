local model = replicate.models.get("stability-ai/sdxl")
print(model.owner)
