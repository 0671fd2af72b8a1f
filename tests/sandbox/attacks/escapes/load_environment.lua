-- A chunk with its own environment finds only that, and the methods of strings.
local chunk = load('return io, os, _G, package, tostring(("").dump)', 'x', 't', { tostring = tostring })
return chunk()
