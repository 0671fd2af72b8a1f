run("a/" .. ("a"):rep(2e6), {})
