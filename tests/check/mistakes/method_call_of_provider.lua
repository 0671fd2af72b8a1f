print(replicate:get_account().username)
