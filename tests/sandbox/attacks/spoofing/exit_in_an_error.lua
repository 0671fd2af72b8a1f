-- The run reads the text of an error while it ends.
error(setmetatable({}, { __tostring = function() exit(9) end }))
