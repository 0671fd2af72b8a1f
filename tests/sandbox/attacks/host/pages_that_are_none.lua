while true do pcall(docs.read, ("predictoin"):rep(10)) end
