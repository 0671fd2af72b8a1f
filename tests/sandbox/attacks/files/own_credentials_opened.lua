-- flags: --allow-read home/.config/kosmolua
integrations.replicate.create_file{ path = 'home/.config/kosmolua/credentials.json' }
