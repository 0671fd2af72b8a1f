local secret = 'local'
return load('return secret')()
