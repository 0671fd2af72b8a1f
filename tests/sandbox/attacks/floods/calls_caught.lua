-- flags: --max-calls 20
while true do pcall(integrations.replicate.get_account) end
