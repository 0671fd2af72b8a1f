-- flags: --allow-write .
download('data:,x', './open/../.kosmo/config.toml')
