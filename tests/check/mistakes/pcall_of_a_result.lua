local ok, images = pcall(run("acme/painter", { prompt = "a barn" }))
print(ok)
