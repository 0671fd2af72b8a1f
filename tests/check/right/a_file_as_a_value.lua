-- A file as a value.
run("a/b", { image = file("cat.png"), mask = "https://x/y.png", prompt = "draw cat.png" })
