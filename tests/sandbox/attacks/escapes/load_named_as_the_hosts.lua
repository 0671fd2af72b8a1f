-- A chunk with the name of a host module is reported as the script's.
load('error("from a chunk")', '=bridge.lua')()
