-- flags: --allow-read .
integrations.replicate.create_prediction{ version = 'v', input = { f = file('home/.config/kosmolua/credentials.json') } }
