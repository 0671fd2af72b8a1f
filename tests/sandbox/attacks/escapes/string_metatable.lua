-- A method put there would run in the host's own code.
getmetatable('').__index = function() return 'mine' end
