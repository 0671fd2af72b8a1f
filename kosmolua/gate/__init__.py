"""Who may do what, and the one road to the network; knows nothing of Lua."""
