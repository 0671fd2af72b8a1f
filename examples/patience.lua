-- Wait for a busy API and a slow model, and watch the progress.
-- $ kosmo lua --emulate --fault 429:create:retry_after=1 examples/patience.lua

-- The API answers the first create with 429. It is sent again after a second, as the API asked.
local steps = {}
run("black-forest-labs/flux-schnell", { prompt = "a slow river", seed = 4 }, {
  wait = false, -- return at once, so that there is progress to see
  on_progress = function(prediction, progress)
    steps[#steps + 1] = progress and progress.percent or prediction.status
  end,
})
print("from " .. steps[1] .. " to " .. steps[#steps] .. " %")

-- A video takes longer than the timeout. It is canceled and stops costing money.
local _, late = pcall(run, "minimax/video-01", { prompt = "a slow river" }, { timeout = 1, cancel_on_timeout = true })
print(late.code .. ": " .. late.hint .. " (" .. late.prediction.status .. ")")

--> kosmo: the API answered 429; retrying in 1.0 s
--> from starting to 100 %
--> timed_out: it was canceled; use a larger timeout (canceled)
