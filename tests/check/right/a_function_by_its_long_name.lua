-- An API function is called by its long name.
integrations.replicate.replicate_get_account()
