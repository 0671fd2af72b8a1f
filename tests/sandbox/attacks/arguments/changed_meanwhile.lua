-- Another task changes the arguments while the call is being sent; the checked arguments are sent.
local arguments = { model_owner = 'black-forest-labs', model_name = 'flux-schnell', input = { prompt = 'first' } }
local task = spawn(function() return integrations.replicate.create_model_prediction(arguments) end)
spawn(function() arguments.input.prompt, arguments.model_name = 'second', '..' end)
error(task:await().input.prompt)
