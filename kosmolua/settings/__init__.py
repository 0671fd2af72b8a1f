"""What the user configured and stored: settings, tokens, trust, and where the files are; sends nothing."""
