-- flags: --max-predictions 2
local tasks = {}
for i = 1, 9 do
  tasks[i] = spawn(function()
    integrations.replicate.create_model_prediction{
      model_owner = 'black-forest-labs', model_name = 'flux-schnell', input = { prompt = 'x' },
    }
  end)
end
for _, task in ipairs(tasks) do pcall(task.await, task) end
error('the run went on')
