return require('debug').getregistry()
