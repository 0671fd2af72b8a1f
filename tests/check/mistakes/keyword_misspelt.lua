local fucntion paint(prompt)
  return run("black-forest-labs/flux-schnell", { prompt = prompt })
end
