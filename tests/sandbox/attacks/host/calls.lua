while true do pcall(replicate.get_account) end
