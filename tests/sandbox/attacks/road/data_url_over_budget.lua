-- flags: --max-calls 0 --allow-write open
download('data:,hello', 'open/out')
