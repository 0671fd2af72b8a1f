-- flags: --write deny --allow-write open
download('http://emulator.localhost/v1;a=b/webhooks;c/default/secret;d?e#f', 'open/out')
