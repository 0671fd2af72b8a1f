package.preload.ffi = function(name) return { name = name } end
return require('ffi').name
