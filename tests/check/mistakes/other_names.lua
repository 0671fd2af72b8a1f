local made = json.loads("{}")
print(json.dumps(made))
local p = create("a/b", {})
