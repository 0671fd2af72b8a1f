-- Run models: text is a string, files are values, failures are errors.
-- $ kosmo lua --emulate examples/run.lua

local text = run("meta/meta-llama-3-8b-instruct", { prompt = "Describe a lighthouse", max_tokens = 12, temperature = 0 })
print("text:    " .. text)

local images, prediction = run("black-forest-labs/flux-schnell", { prompt = "a lighthouse", num_outputs = 2, seed = 1 })
print("files:   " .. #images .. ", the second is " .. images[2].url:match("[^/]+$"))
print("model:   " .. prediction.model .. ", " .. prediction.status)

-- A mistake in the input is an error before anything is sent.
local _, mistake = pcall(run, "black-forest-labs/flux-schnell", { promt = "a lighthouse" })
print("mistake: " .. mistake)

-- A prediction that does not succeed is an error that holds the prediction.
local _, failure = pcall(run, "kosmolua/always-fails", { message = "out of paint" })
print("failure: " .. failure.code .. ": " .. failure.prediction.error)

--> text:    Think of the lighthouse at the edge of a wide valley. The
--> files:   2, the second is out-1.png
--> model:   black-forest-labs/flux-schnell, succeeded
--> mistake: black-forest-labs/flux-schnell: unknown input `promt`; did you mean `prompt`?; missing `prompt` (examples/run.lua:12)
--> failure: prediction_failed: out of paint
