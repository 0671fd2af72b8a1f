-- Numbers that a resumed run repeats: random pauses, and the numbers of streams.

local match, fmod, tonumber, tostring = string.match, math.fmod, tonumber, tostring

local M = {}

-- Differs between processes, and leaves math.random to the script.
local dice = tonumber(match(tostring({}), "0x(%x+)"), 16) % 2147483647
local streams = 0 -- the host knows a stream by its number, whatever account it belongs to

--- A number between 0 and 1.
function M.chance()
  dice = fmod(dice * 16807, 2147483647)
  return dice / 2147483647
end

function M.next_stream()
  streams = streams + 1
  return streams
end

--- Restart: after the same seed, all numbers are the same.
function M.begin_anew(seed)
  dice, streams = seed % 2147483646 + 1, 0
end

return M
