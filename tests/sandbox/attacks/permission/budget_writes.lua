-- flags: --max-writes 1
for _ = 1, 3 do pcall(function() integrations.replicate.create_model_prediction{   model_owner = 'black-forest-labs', model_name = 'flux-schnell', input = { prompt = 'x' }, } end) end
error('the run went on')
