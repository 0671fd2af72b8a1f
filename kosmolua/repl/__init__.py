"""The prompt: reads, completes and evaluates inputs, and shows their results; only `line` imports prompt-toolkit."""
