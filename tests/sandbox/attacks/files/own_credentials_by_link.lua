-- flags: --allow-read .
integrations.replicate.create_file{ path = 'open/soft' }
