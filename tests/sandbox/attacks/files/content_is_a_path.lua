-- A string is never taken for a path.
local file = integrations.replicate.create_file{ content = 'secret.txt', filename = 'a' }
error(tostring(file.size))
