-- flags: --allow-read .
return file('module.lua').read({ path = 'secret.txt' })
