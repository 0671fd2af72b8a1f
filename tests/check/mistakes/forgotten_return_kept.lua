local function describe_it(what)
  local text = "a picture of " .. what
end
local text = describe_it("a barn")
run("replicate/hello-world", { text = text .. ", at dawn" })
print(text:upper())
