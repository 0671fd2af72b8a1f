package = { path = '/etc/?', cpath = '/lib/?.so' }
return require('passwd')
