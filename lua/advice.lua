-- What to do about an error of Lua's own that names what was nil: a name that scripts do not have, one that is
-- misspelt, an output that is not there yet.

local M = {}

local min, next, type = math.min, next, type
local byte, format, gmatch, match = string.byte, string.format, string.gmatch, string.match

local MOST_NAMES = 1000 -- globals that are looked at
local MOST_LETTERS = 40 -- of a name that is compared
local NEAR = 3 -- letters of a name for each that may be wrong

local CONFINED = "scripts have no processes, environment or files of the machine: give values behind --, which are in "
  .. "`args`, and files with file(path) and output:save(path)"
local HOST = "scripts cannot reach the interpreter; require(name) loads a module beside the script"

local ADVICE = {
  global = { io = CONFINED },
  field = {
    output = "a prediction has no output until it has succeeded: wait(prediction) returns it then, and run waits by itself",
  },
  method = {
    save = "what has :save(path) is a file; many models give a list of them: images[1]:save(path), download(images, './')",
  },
}
for name in gmatch("collectgarbage debug dofile ffi getfenv jit load loadfile loadstring module newproxy package python "
  .. "setfenv", "%a+") do
  ADVICE.global[name] = HOST
end
for name in gmatch("execute exit getenv remove rename setlocale tmpname", "%a+") do
  ADVICE.field[name] = CONFINED
end

-- How many letters have to be changed, added, left out or exchanged with their neighbour.
local function distance(one, other)
  local before, last, row = nil, nil, {}
  for j = 0, #other do
    row[j] = j
  end
  for i = 1, #one do
    before, last, row = last, row, { [0] = i }
    for j = 1, #other do
      local same = byte(one, i) == byte(other, j)
      row[j] = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same and 0 or 1))
      local crossed = before and byte(one, i) == byte(other, j - 1) and byte(one, i - 1) == byte(other, j)
      if crossed then row[j] = min(row[j], before[j - 2] + 1) end
    end
  end
  return row[#other]
end

--- The key of a table that is most like a name, where one is like it at all.
function M.nearest(name, names)
  if #name > MOST_LETTERS then return nil end
  local found, least, count = nil, #name / NEAR, 0
  for other in next, names do
    count = count + 1
    if count > MOST_NAMES then break end
    if type(other) == "string" and #other <= MOST_LETTERS then
      local far = distance(name, other)
      if far < least or (far == least and (not found or other < found)) then
        found, least = other, far
      end
    end
  end
  return found
end

--- What to do about an error with that message, or nil. `names` is a table that has the globals.
function M.on(message, names)
  local kind, name = match(message, "attempt to .-(%l+) '([%w_]+)'")
  local known = kind and ADVICE[kind] and ADVICE[kind][name]
  if known or kind ~= "global" then return known or nil end
  local other = M.nearest(name, names)
  return other and format("nothing is called %s here; did you mean %s?", name, other)
end

return M
