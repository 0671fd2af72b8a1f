local text = run("acme/writer", { prompt = "a, b" })
print(#text:split(","))
