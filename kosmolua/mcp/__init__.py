"""The catalogue and Lua as tools of the Model Context Protocol. `server` alone knows the SDK."""
