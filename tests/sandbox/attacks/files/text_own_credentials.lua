-- flags: --allow-read .
return file('home/.config/kosmolua/credentials.json'):read()
