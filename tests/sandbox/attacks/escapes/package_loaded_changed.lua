-- A change to package.loaded affects only the script's own `require`.
package.loaded.json = { encode = function() return 'forged' end }
package.loaded._G, package.loaded.string = nil, nil
return require('json').encode(1), #integrations.replicate.get_account{}.username > 0
