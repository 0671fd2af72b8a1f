"""Documentation: pages about functions, helpers and topics, and stubs for editors. This package makes no calls."""
