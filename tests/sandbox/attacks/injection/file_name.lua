-- The name ends its header; what stands behind it would be a part of its own.
local file = integrations.replicate.create_file{
  content = 'x', filename = 'a"\r\nX-Evil: 1\r\n\r\n--', metadata = { a = 1 },
}
error(file.name .. ' ' .. file.size)
