integrations.replicate.create_file{ content = 'x', filename = 'a', type = 'a/b\r\nX-Evil: 1' }
