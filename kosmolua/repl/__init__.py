"""The prompt: reads, completes, evaluates and shows inputs; only `line` imports prompt-toolkit."""
