"""The catalogue and Lua as tools of the Model Context Protocol, whose SDK only `server` imports."""
