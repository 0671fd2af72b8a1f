-- flags: --allow-write open
download("https://replicate.delivery/" .. ("%41"):rep(1e6), "open/x")
