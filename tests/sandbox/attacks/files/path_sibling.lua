-- flags: --allow-read open
integrations.replicate.create_file{ path = 'openly/secret.txt' }
