local function prompts()
  local list = { "a barn", "a mill" }
end
for i = 1, #prompts() do
  run("replicate/hello-world", { text = "x" })
end
