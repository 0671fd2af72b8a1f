"""The HTTP server of this package, with limits on what strangers may send before an application sees a request.

The console, the webhook receiver and the MCP server run on it.
"""
