-- flags: --memory-limit 512M --output-limit 1G --cpu-limit 5
print(('x'):rep(7e7))
