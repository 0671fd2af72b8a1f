-- A boundary in the content must not end the part.
local file = integrations.replicate.create_file{ content = '\r\n--boundary--\r\n', filename = 'a' }
error(tostring(file.size))
