for model in each("list_model") do
  print(model.name)
end
