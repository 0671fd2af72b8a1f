-- flags: --read allow --write allow
return integrations.replicate.get_default_webhook_secret{}
