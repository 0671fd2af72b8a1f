-- flags: --max-calls 1
--@ max_calls: 1000
integrations.replicate.get_account{}
integrations.replicate.get_account{}
