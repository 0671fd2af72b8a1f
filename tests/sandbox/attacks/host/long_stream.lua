for _ in stream { id = "p", status = "starting", urls = { stream = "https://replicate.delivery/" .. ("a"):rep(2e6) } } do end
