-- A chunk with an environment of its own finds nothing else, and the strings' own methods alone.
local chunk = load('return io, os, _G, package, tostring(("").dump)', 'x', 't', { tostring = tostring })
return chunk()
