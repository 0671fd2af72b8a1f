-- flags: --allow-write open
download("data:," .. ("%41"):rep(1100000), "open/x")
