-- flags: --max-calls 3
while true do integrations.replicate.get_account{} end
