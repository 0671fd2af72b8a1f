"""The Replicate HTTP API: what it offers, and how it is spoken. Knows nothing of Lua or permissions."""
