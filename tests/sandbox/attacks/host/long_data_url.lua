-- flags: --allow-write open --memory-limit 256M --cpu-limit 5
download("data:," .. ("a"):rep(2^24), "open/x")
