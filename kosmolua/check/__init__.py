"""Reads scripts without running them and reports what is certain to fail; it sends nothing itself."""
