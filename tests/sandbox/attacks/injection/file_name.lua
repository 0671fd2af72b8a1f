-- The file name ends its header; the text after it would become a separate part.
local file = integrations.replicate.create_file{
  content = 'x', filename = 'a"\r\nX-Evil: 1\r\n\r\n--', metadata = { a = 1 },
}
error(file.name .. ' ' .. file.size)
