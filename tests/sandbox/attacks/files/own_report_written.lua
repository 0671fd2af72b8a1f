-- flags: --report page.html --allow-write .
download('data:,x', 'page.html')
