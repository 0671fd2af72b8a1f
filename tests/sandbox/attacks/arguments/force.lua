integrations.replicate.get_account{ force = true }
