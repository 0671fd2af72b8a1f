-- The text of an error is asked for while the run ends.
error(setmetatable({}, { __tostring = function() exit(9) end }))
