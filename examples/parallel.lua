-- Paint five pictures, two at a time, and collect results and errors.
-- $ kosmo lua --emulate examples/parallel.lua

local prompts = { "dawn", "noon", "", "dusk", "night" }

local results = parallel(prompts, function(prompt, index)
  if prompt == "" then error("prompt " .. index .. " is empty", 0) end
  return run("black-forest-labs/flux-schnell", { prompt = prompt, seed = index })[1]
end, { limit = 2, on_error = "collect" })

for index, result in ipairs(results) do
  local text = result.ok and result.value.url:match("[^/]+$") or "failed: " .. result.error
  print(("%-6s %s"):format(prompts[index], text))
end

--> dawn   out-0.png
--> noon   out-0.png
-->        failed: prompt 3 is empty
--> dusk   out-0.png
--> night  out-0.png
