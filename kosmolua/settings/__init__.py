"""User configuration and stored data: settings, tokens, trust and file paths; sends nothing."""
