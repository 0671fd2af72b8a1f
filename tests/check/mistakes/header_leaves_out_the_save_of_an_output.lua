--@ needs: create_model_prediction, create_prediction, get_model, get_prediction

run("black-forest-labs/flux-schnell", { prompt = "a barn" })[1]:save("barn.png")
