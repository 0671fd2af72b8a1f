local task = spawn(function()
  while true do end
end)
pcall(task.await, task)
return 'survived'
