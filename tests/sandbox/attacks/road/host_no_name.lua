-- flags: --allow-write open
download('https://xn--/', 'open/out')
