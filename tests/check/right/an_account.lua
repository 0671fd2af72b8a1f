-- An account.
integrations.replicate.default.get_account()
app.integrations.replicate.run("a/b", {})
