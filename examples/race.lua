-- Starts three predictions, takes the first that succeeds, cancels the others.
-- kosmo lua --emulate examples/race.lua

local replicate = integrations.replicate
local DONE = { succeeded = true, failed = true, canceled = true, aborted = true }

local RACERS = {
  { model_owner = "minimax", model_name = "video-01", input = { prompt = "a river, from above" } },
  { model_owner = "black-forest-labs", model_name = "flux-schnell", input = { prompt = "a river, from above" } },
  { model_owner = "minimax", model_name = "video-01", input = { prompt = "a river, at dusk" } },
}

local running = {}
for i, racer in ipairs(RACERS) do
  racer.cancel_after = "5m" -- the API ends it, should nobody be there to
  running[i] = replicate.create_model_prediction(racer)
  print(("started  %s  %s/%s"):format(running[i].id, racer.model_owner, racer.model_name))
end

-- Looks at each once; returns the first that succeeded, and drops those that ended otherwise.
local function winner()
  for i = #running, 1, -1 do
    running[i] = replicate.get_prediction { prediction_id = running[i].id }
    if running[i].status == "succeeded" then return table.remove(running, i) end
    if DONE[running[i].status] then table.remove(running, i) end
  end
end

local first
repeat
  sleep(0.2)
  first = winner()
until first or #running == 0

for _, prediction in ipairs(running) do
  local ended = replicate.cancel_prediction { prediction_id = prediction.id }
  print(("canceled %s  %s"):format(ended.id, ended.status))
end

if not first then error("none of them succeeded", 0) end
print(("winner   %s  %s after %.2f s"):format(first.id, first.model, first.metrics.total_time))
return first.output
