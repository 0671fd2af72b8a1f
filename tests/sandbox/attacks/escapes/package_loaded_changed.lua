-- What a script puts there is what its own `require` gives, and nobody else's.
package.loaded.json = { encode = function() return 'forged' end }
package.loaded._G, package.loaded.string = nil, nil
return require('json').encode(1), #integrations.replicate.get_account{}.username > 0
