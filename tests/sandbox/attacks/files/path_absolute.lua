-- flags: --allow-read open
integrations.replicate.create_file{ path = '/etc/passwd' }
