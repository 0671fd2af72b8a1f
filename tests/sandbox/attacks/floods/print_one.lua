-- flags: --memory-limit 128M --cpu-limit 5
print(('x'):rep(1e7))
