require(("a"):rep(2e6))
