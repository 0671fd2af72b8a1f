"""Text and pictures for people at a terminal. Knows nothing of functions, policies or scripts."""
