integrations.replicate.list_predictions{ cursor = 'http://127.0.0.1:1/' }
