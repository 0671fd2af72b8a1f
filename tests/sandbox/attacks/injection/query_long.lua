integrations.replicate.list_predictions{ cursor = ('x'):rep(1e5) }
