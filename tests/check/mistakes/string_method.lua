local text = run("replicate/hello-world", { text = "Ada" })
print(("%-20s|"):fromat(text))
