-- flags: --allow-write .
write_file('.kosmo/config.toml', 'x', { overwrite = true })
