-- flags: --allow-write pictures
for index = 1, 20 do
  local images = run("black-forest-labs/flux-schnell", { prompt = "a barn", seed = index })
  images[1]:save("out/barn.png")
end
