"""The prompt: reads, completes, evaluates and shows inputs. Only `line` imports prompt-toolkit."""
