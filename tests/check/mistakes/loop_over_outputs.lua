local images = run("black-forest-labs/flux-schnell", { prompt = "a barn" })
for image in images do
  print(image)
end
