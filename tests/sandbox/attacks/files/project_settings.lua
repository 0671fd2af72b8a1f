-- flags: --allow-read .
integrations.replicate.create_file{ path = '.kosmo/config.toml' }
