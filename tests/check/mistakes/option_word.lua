local images = parallel(args, function(prompt)
  return run("acme/painter", { prompt = prompt })
end, { on_error = "colect" })
print(#images)
