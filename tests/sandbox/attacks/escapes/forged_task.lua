local task = spawn(print)
task.await({ state = 'done', values = { 1 } })
