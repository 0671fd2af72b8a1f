-- flags: --allow-write .
download('data:,x', 'open/pipe')
