-- Lose the connection after a create. The prediction is found in the account and is not paid for twice.
-- $ kosmo lua --emulate --fault drop:create examples/lost.lua

local output = run("meta/meta-llama-3-8b-instruct", { prompt = "Describe rain", max_tokens = 8, temperature = 0 })
print("output:      " .. #output .. " bytes")

local count = 0
for _ in each("list_predictions") do
  count = count + 1
end
print("predictions: " .. count)

--> output:      37 bytes
--> predictions: 1
