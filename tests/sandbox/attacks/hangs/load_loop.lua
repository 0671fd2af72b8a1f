-- The chunk has the name of a host module, which is not interrupted.
load('while true do end', '=task.lua')()
