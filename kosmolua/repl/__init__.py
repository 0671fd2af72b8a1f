"""The prompt: what is typed, completed, evaluated and shown there; only `line` and `shell` import prompt-toolkit."""
