-- flags: --allow-write .
download('data:,x', 'home/.config/kosmolua/config.toml')
