docs.search(("a "):rep(2e6))
