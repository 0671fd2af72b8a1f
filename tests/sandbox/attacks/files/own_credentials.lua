-- flags: --allow-read .
integrations.replicate.create_file{ path = 'home/.config/kosmolua/credentials.json' }
