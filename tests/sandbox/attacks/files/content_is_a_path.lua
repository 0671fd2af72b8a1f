-- A string is never sniffed for being a path.
local file = integrations.replicate.create_file{ content = 'secret.txt', filename = 'a' }
error(tostring(file.size))
