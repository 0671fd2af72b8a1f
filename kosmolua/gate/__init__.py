"""Who may do what, and the only path to the network; knows nothing of Lua."""
