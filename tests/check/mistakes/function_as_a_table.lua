log.info("started")
print(run("acme/painter", { prompt = "a barn" }))
