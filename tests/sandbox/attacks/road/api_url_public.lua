-- flags: --write deny --allow-write open
download('https://api.replicate.com/v1/account', 'open/out')
