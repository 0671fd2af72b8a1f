for _ in stream{ id = 'p', status = 'starting', urls = { stream = 'data:,x' } } do end
