"""Makes documentation: pages about functions, helpers and topics, and stubs for editors; it makes no calls."""
