local text = run("replicate/hello-world", { text = "Ada" })
print(string.fromat("%s!", text))
