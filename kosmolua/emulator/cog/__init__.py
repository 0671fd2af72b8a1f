"""Models that run on a cog server of this machine: its schema, its queue, and the predictions that it runs."""
