print(run("acme/painter", { prompt: "a barn" }))
