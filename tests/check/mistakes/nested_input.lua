local images = run("acme/painter", { input = { prompt = "a barn" } })
print(images[1])
