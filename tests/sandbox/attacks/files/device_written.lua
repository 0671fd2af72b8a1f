-- flags: --allow-write /dev
download('data:,x', '/dev/null')
