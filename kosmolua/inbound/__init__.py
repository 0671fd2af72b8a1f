"""HTTP servers of this package: what strangers may send before an application sees a request.

The console, the receiver of webhooks and the MCP server are applications on it.
"""
