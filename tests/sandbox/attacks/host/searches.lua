while true do pcall(docs.search, ("qzxv jkwq "):rep(20)) end
