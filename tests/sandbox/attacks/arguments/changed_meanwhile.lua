-- Changed by another task while the call is under way: what was checked is what is sent.
local arguments = { model_owner = 'black-forest-labs', model_name = 'flux-schnell', input = { prompt = 'first' } }
local task = spawn(function() return integrations.replicate.create_model_prediction(arguments) end)
spawn(function() arguments.input.prompt, arguments.model_name = 'second', '..' end)
error(task:await().input.prompt)
