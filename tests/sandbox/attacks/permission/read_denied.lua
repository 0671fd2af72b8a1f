-- flags: --read deny
integrations.replicate.get_account{}
