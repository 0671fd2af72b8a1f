let prompt = "a barn"
print(run("acme/painter", { prompt = prompt }))
