-- flags: --allow-read /
integrations.replicate.create_file{ path = '/proc/self/environ' }
