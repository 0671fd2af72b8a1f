-- flags: --output-limit 2K
while true do log('x') end
