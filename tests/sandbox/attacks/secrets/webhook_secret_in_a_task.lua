parallel({ 1, 2 }, function() return integrations.replicate.get_default_webhook_secret{} end)
