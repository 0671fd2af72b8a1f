-- API functions are called through an account and through app.
integrations.replicate.default.get_account()
app.integrations.replicate.run("a/b", {})
