-- A chunk with its own environment has access only to that environment and to the string methods.
local chunk = load('return io, os, _G, package, tostring(("").dump)', 'x', 't', { tostring = tostring })
return chunk()
