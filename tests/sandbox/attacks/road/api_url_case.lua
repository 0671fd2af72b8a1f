-- flags: --write deny --allow-write open
download('HTTP://Emulator.LOCALHOST:80/V1/Webhooks/Default/Secret', 'open/out')
