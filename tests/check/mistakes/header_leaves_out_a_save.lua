--@ needs: create_model_prediction, create_prediction, get_model, get_prediction

local images = run("black-forest-labs/flux-schnell", { prompt = "a barn" })
print(download(images[1], "barn.png").path)
