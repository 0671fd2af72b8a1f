print(run("acme/painter", { prompt = "a barn, seed " + 7 }))
