-- Split a workflow into files: `require` loads modules from the script's directory.
-- $ kosmo lua --emulate --allow-read examples examples/modules.lua -- barn

local prompts = require("prompts.painting")

for _, prompt in ipairs(prompts.of(args[1] or "barn")) do
  local greeting = run("replicate/hello-world", { text = prompt })
  print(greeting)
end

--> hello a barn at dawn, in oil
--> hello a barn at dusk, in oil
