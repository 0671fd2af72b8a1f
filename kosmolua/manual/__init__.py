"""Everything meant to be read: pages about functions, helpers and topics, and stubs for editors; calls nothing."""
