local account = replicate.get_acount()
print(account.username)
