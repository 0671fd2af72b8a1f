"""The Replicate HTTP API, as data and as HTTP; knows nothing of Lua or permissions."""
