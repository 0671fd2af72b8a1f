-- Numbers that a resumed run repeats: random pauses, and the numbers of streams.

local match, fmod, tonumber, tostring = string.match, math.fmod, tonumber, tostring

local M = {}

-- The start value, which differs between processes. math.random is not used, so that its numbers are the script's.
local dice = tonumber(match(tostring({}), "0x(%x+)"), 16) % 2147483647
local streams = 0 -- the number of the last stream; the host identifies streams by number, across all accounts

--- A number between 0 and 1.
function M.chance()
  dice = fmod(dice * 16807, 2147483647)
  return dice / 2147483647
end

function M.next_stream()
  streams = streams + 1
  return streams
end

--- Restart from a seed: the same seed gives the same numbers.
function M.begin_anew(seed)
  dice, streams = seed % 2147483646 + 1, 0
end

return M
