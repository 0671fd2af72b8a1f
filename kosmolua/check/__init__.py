"""Reads scripts without running them and reports what is certain to fail; sends nothing itself."""
