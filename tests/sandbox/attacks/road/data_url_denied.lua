-- flags: --read deny --allow-write open
download('data:,hello', 'open/out')
