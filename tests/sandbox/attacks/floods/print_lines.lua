-- flags: --output-limit 2K
while true do print() end
