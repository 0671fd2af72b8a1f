"""Documentation: pages about functions, helpers and topics, and stubs for editors. Makes no calls."""
