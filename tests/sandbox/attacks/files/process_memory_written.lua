-- flags: --allow-write /
download('data:,x', '/proc/self/mem')
