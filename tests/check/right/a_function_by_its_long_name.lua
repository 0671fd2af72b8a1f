-- A function by its long name.
integrations.replicate.replicate_get_account()
