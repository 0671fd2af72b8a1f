local prompts = require("lib.broken")
print(run("replicate/hello-world", { text = prompts.first }))
