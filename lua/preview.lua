-- The start of a value, for a host that shows it to a person: MessagePack of nil, booleans, numbers, strings as bytes,
-- and lists that begin with a word:
--   "text" bytes length           a string of that length, cut
--   "other" bytes                 a description of a value that is not plain data: a function, a cycle, infinity
--   "table" is_list count items   `count` entries in all, of which `items` has the first as key, value, key, value …
-- The preview is small, however large the value is, and its names are sorted.

local use = ...
local values, msgpack = use("values"), use("msgpack")

local next, pcall, rawget, rawlen, type, tostring = next, pcall, rawget, rawlen, type, tostring
local char, concat, find, floor, format, huge = string.char, table.concat, string.find, math.floor, string.format,
  math.huge
local sort, sub = table.sort, string.sub
local getinfo, getmetatable = debug.getinfo, debug.getmetatable
local encode, head, bytes = msgpack.encode, msgpack.head, msgpack.bytes
rawlen = rawlen or function(t) return #t end

local MAX_DEPTH, MAX_ITEMS, MAX_NODES = 6, 100, 4000
local MAX_BYTES = 65536 -- bytes of strings in one preview

local TEXT, OTHER, TABLE = head(3) .. encode("text"), head(2) .. encode("other"), head(4) .. encode("table")

local function list_of(count, pieces) return char(0xdc, floor(count / 256), count % 256) .. concat(pieces) end

local function before(a, b)
  if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
  return type(a) == "number" or (type(a) == "string" and type(b) ~= "number")
end

local function shorten(keys, count)
  sort(keys, before)
  for i = count, MAX_ITEMS + 1, -1 do
    keys[i] = nil
  end
  return #keys
end

-- The first names in order, without the list part, and the total number. At most twice as many are held and sorted at
-- once.
local function first_names(t, length)
  local names, count, held, last = {}, 0, 0, nil
  for key in next, t do
    if type(key) ~= "number" or key < 1 or key > length or floor(key) ~= key then
      count = count + 1
      if last == nil or before(key, last) then
        held = held + 1
        names[held] = key
        if held == 2 * MAX_ITEMS then
          held = shorten(names, held)
          last = names[held]
        end
      end
    end
  end
  shorten(names, held)
  return names, count
end

local function first_keys(t)
  local length = rawlen(t)
  local keys, listed = {}, 0
  local names, count = first_names(t, length)
  for i = 1, length < MAX_ITEMS and length or MAX_ITEMS do
    listed = i
    keys[i] = i
  end
  for i = 1, #names do
    if listed + i > MAX_ITEMS then break end
    keys[listed + i] = names[i]
  end
  return keys, length + count
end

local nodes, left, open

local preview

local function text_of(value)
  local length = #value
  if length <= left then
    left = left - length
    return bytes(value)
  end
  local cut = sub(value, 1, left)
  left = 0
  return TEXT .. bytes(cut) .. encode(length)
end

local function other(text) return OTHER .. bytes(text) end

local function number_of(value)
  if value ~= value or value == huge or value == -huge then return other(tostring(value)) end
  return encode(value)
end

local function function_of(value)
  local info = getinfo(value, "S")
  if find(info.source, "^@") then
    return other(format("function (%s:%d)", values.scrub(sub(info.source, 2)), info.linedefined))
  end
  return other("function")
end

-- A value as text. This runs a script's __tostring, as print would.
local function own_text(value)
  local meta = getmetatable(value)
  if meta == values.Job then return nil end -- shown with its fields
  local say = type(meta) == "table" and rawget(meta, "__tostring")
  if not say then return nil end
  local ok, text = pcall(say, value)
  return ok and type(text) == "string" and text or nil
end

local function items_of(t, keys, depth)
  local pieces, count = {}, 0
  for i = 1, #keys do
    if nodes >= MAX_NODES then break end
    pieces[count + 1] = preview(keys[i], MAX_DEPTH)
    pieces[count + 2] = preview(rawget(t, keys[i]), depth + 1)
    count = count + 2
  end
  return list_of(count, pieces)
end

local function table_of(t, depth)
  if t == values.null then return other("null") end
  if open[t] then return other("{ … itself }") end
  local text = own_text(t)
  if text then return other(sub(text, 1, 2000)) end
  local keys, count = first_keys(t)
  local is_list = rawlen(t) == count and (count > 0 or values.shape(t) == true)
  if depth >= MAX_DEPTH then keys = {} end
  open[t] = true
  local items = items_of(t, keys, depth)
  open[t] = nil
  return TABLE .. encode(is_list) .. encode(count) .. items
end

function preview(value, depth)
  nodes = nodes + 1
  local kind = type(value)
  if kind == "string" then return text_of(value) end
  if kind == "number" then return number_of(value) end
  if kind == "table" then return table_of(value, depth) end
  if kind == "function" then return function_of(value) end
  if kind == "nil" or kind == "boolean" then return encode(value) end
  return other(kind)
end

--- The preview of several values, as a list.
return function(list, count)
  nodes, left, open = 0, MAX_BYTES, {}
  local pieces = {}
  for i = 1, count do
    pieces[i] = preview(list[i], 0)
  end
  return list_of(count, pieces)
end
