-- Iterate over lists. Pages are requested when the loop reaches them.
-- $ kosmo lua --emulate examples/pages.lua

for _ = 1, 120 do
  replicate.create("replicate/hello-world", { text = "Ada" })
end

local count = 0
for _ in each("list_predictions") do -- a hundred per page
  count = count + 1
end
print("predictions: " .. count)

for model in each("list_models", { sort_by = "model_created_at" }, { limit = 2 }) do
  print("model:       " .. model.owner .. "/" .. model.name)
end

--> predictions: 120
--> model:       …/…
--> model:       …/…
