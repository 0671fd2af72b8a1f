for prompt in { "a barn", "a mill" } do
  print(run("black-forest-labs/flux-schnell", { prompt = prompt })[1])
end
