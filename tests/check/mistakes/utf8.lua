local text = run("replicate/hello-world", { text = "Ada" })
print(utf8.len(text))
