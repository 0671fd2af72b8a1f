for _, prompt in ipairs(args) do
  if prompt ~= "" then
    print(run("replicate/hello-world", { text = prompt }))
end
