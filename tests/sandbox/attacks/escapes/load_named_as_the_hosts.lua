-- A chunk named like a part of the host is reported as the script's.
load('error("from a chunk")', '=bridge.lua')()
