local images = parallel(function(prompt)
  return run("black-forest-labs/flux-schnell", { prompt = prompt })[1]
end, { "a barn", "a mill" })
print(#images)
