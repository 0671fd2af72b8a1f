local prediction = replicate.create_model_prediction {
  model_owner = "black-forest-labs", model_name = "flux-schnell",
  input = { prompt = "a barn", num_output = 2 },
}
print(wait(prediction).status)
