-- flags: --allow-write .
pcall(integrations.replicate.get_account)
download('data:,x', 'home/.local/state/kosmolua/audit.jsonl')
