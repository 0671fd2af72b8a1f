-- flags: --max-calls 20
while true do integrations.replicate.get_account{} end
