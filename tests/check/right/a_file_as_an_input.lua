-- An input is a file from file(), a URL, or text that mentions a file name.
run("a/b", { image = file("cat.png"), mask = "https://x/y.png", prompt = "draw cat.png" })
