"""Text and pictures for people at a terminal; independent of functions, policies and scripts."""
