local text = run("replicate/hello-world", { text = "Ada" })
pritn(text)
