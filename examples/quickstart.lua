-- Who am I, and what does a prediction say? Run it without an account: kosmo lua --emulate examples/quickstart.lua

local replicate = integrations.replicate

local account = replicate.get_account()
print("account: " .. account.username)

local prediction = replicate.create_prediction {
  version = "replicate/hello-world:5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa",
  input = { text = args[1] or "Alice" },
}

local DONE = { succeeded = true, failed = true, canceled = true, aborted = true }
while not DONE[prediction.status] do
  sleep(0.25)
  prediction = replicate.get_prediction { prediction_id = prediction.id }
end

print("status:  " .. prediction.status)
return prediction.output
