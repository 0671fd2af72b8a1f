-- Resume a run that ended early. Finished calls are in the journal and are not paid for again.
-- $ kosmo lua --emulate --journal examples/resume.journal --max-predictions 1 examples/resume.lua
-- $ kosmo lua --emulate --journal examples/resume.journal examples/resume.lua

for _, time in ipairs { "dawn", "dusk" } do
  local _, prediction = run("black-forest-labs/flux-schnell", { prompt = "a harbour at " .. time, seed = 6 })
  print(time, prediction.status)
end

--> dawn	succeeded
--> error: the run reached its budget of 1 prediction or training
--> hint: raise it with --max-predictions; this call was not sent
--> …
--> dawn	succeeded
--> dusk	succeeded
--> …
