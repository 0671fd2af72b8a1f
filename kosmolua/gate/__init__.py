"""Who may do what, and the one road to the network. Knows nothing of Lua."""
