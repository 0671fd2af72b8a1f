-- flags: --write deny --allow-write open
for _ in stream{ id = 'p', status = 'starting', urls = { stream = 'https://api.replicate.com/v1/predictions/p' } } do end
