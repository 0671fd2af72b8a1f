-- A chunk that is named as a part of the host is the script's in what is reported.
load('error("from a chunk")', '=bridge.lua')()
