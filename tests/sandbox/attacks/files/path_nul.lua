-- flags: --allow-read open
integrations.replicate.create_file{ path = 'open/note.txt\0.png' }
