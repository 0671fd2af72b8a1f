local images = parallel(args, run("acme/painter", { prompt = "a barn" }))
print(#images)
