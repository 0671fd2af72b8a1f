integrations.replicate.get_account{ token = 'r8_x', headers = { Authorization = 'x' }, base_url = 'http://127.0.0.1' }
