"""Text and pictures for people at a terminal; knows nothing of functions, policies or scripts."""
