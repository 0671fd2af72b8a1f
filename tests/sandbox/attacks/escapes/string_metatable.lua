-- A method in the metatable of strings would run inside host code.
getmetatable('').__index = function() return 'mine' end
