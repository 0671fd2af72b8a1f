local images = parallel({ "a barn", "a mill" }, function(prompt)
  return run("black-forest-labs/flux-schnell", { prompt = prompt })[1]
end, { limits = 4 })
print(#images)
