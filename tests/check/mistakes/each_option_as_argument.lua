for model in each("list_models", { limit = 5 }) do
  print(model.name)
end
