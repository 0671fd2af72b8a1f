-- flags: --allow-write .
download('data:,x', 'deep/.KOSMO/config.toml')
