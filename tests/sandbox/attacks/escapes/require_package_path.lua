package.path = '/etc/?;/proc/self/?'
return require('passwd')
