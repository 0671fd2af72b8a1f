-- flags: --allow-read /dev
integrations.replicate.create_file{ path = '/dev/zero' }
