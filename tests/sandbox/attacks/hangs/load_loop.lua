-- It is named like a part of the host, which is not interrupted.
load('while true do end', '=task.lua')()
