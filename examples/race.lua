-- Use the first of three models that succeeds, and cancel the others.
-- $ kosmo lua --emulate examples/race.lua

local function racer(model, prompt)
  return function()
    -- wait = false returns the id at once, so that the prediction can be canceled. The API ends it after five minutes
    -- if nobody cancels it.
    local output = run(model, { prompt = prompt }, { wait = false, cancel_after = "5m" })
    return model, output
  end
end

local winner, output = race {
  racer("minimax/video-01", "a river, from above"),
  racer("black-forest-labs/flux-schnell", "a river, from above"),
  racer("minimax/video-01", "a river, at dusk"),
}
print("winner:   " .. winner .. ", " .. #output .. " picture")

for _, prediction in ipairs(replicate.cancel_all()) do -- everything this script started that may be running
  print("canceled: " .. prediction.model .. ", " .. prediction.status)
end

--> winner:   black-forest-labs/flux-schnell, 1 picture
--> canceled: minimax/video-01, canceled
--> canceled: minimax/video-01, canceled
