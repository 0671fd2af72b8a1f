-- flags: --write deny --allow-write open
for _ in stream{ id = 'p', status = 'starting', urls = { stream = 'http://emulator.localhost/v1/webhooks/default/secret' } } do end
