"""Models that run on a cog server on this machine: the server's schema, its queue, and the predictions it runs."""
