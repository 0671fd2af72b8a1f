-- Values that JSON has and Lua lacks: null inside lists, and empty lists.
-- Marks are in weak tables outside the values, so that scripts can use their own metatables.

local M = {}

local next, type, rawequal, setmetatable, tonumber, tostring = next, type, rawequal, setmetatable, tonumber, tostring
local byte, char, find, format, gsub = string.byte, string.char, string.find, string.format, string.gsub
local floor, concat = math.floor, table.concat
local rawlen = rawlen or function(t) return #t end -- LuaJIT: `#` on a table calls no metamethod

M.MAX_DEPTH = 200
M.MAX_EXACT = 2 ^ 53 -- beyond it, doubles do not represent every integer

local arrays = setmetatable({}, { __mode = "k" })
local objects = setmetatable({}, { __mode = "k" })

--- Files, which look like tables: value -> its fields (file.lua).
M.files = setmetatable({}, { __mode = "k" })

--- Integers that no double can represent, which look like tables: value -> its digits.
M.digits = setmetatable({}, { __mode = "k" })

--- An integer by its decimal digits, as part of what is sent.
function M.integer(text)
  local value = {}
  M.digits[value] = text
  return value
end

--- The metatable of predictions and trainings as the API describes them; output.lua gives them their text.
M.Job = {}

M.null = setmetatable({}, {
  __tostring = function() return "null" end,
  __newindex = function() error("json.null cannot be changed", 2) end,
  __metatable = "json.null",
})

function M.array(t)
  objects[t], arrays[t] = nil, true
  return t
end

function M.object(t)
  arrays[t], objects[t] = nil, true
  return t
end

--- A copy of a table, without its metatable. It remains a list or an object.
function M.copy(t)
  local made = {}
  for key, value in next, t do
    made[key] = value
  end
  arrays[made], objects[made] = arrays[t], objects[t]
  return made
end

-- Valid sequences, by length and lead byte: Unicode 15, table 3-7. Each is replaced by a letter, not
-- removed, so that the bytes around it do not form a new sequence.
local UTF8 = {
  "[\194-\223][\128-\191]",
  "\224[\160-\191][\128-\191]",
  "[\225-\236\238\239][\128-\191][\128-\191]",
  "\237[\128-\159][\128-\191]",
  "\240[\144-\191][\128-\191][\128-\191]",
  "[\241-\243][\128-\191][\128-\191][\128-\191]",
  "\244[\128-\143][\128-\191][\128-\191]",
}

local function without_sequences(text)
  for i = 1, #UTF8 do
    text = gsub(text, UTF8[i], "x")
  end
  return text
end

function M.is_utf8(text)
  return not find(text, "[\128-\255]") or not find(without_sequences(text), "[\128-\255]")
end

function M.utf8_char(code)
  if code < 0x80 then return char(code) end
  if code < 0x800 then return char(0xc0 + floor(code / 64), 0x80 + code % 64) end
  if code < 0x10000 then
    return char(0xe0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
  end
  return char(0xf0 + floor(code / 262144), 0x80 + floor(code / 4096) % 64, 0x80 + floor(code / 64) % 64,
    0x80 + code % 64)
end

-- The character at a position of UTF-8, and the next position.
function M.utf8_code(text, position)
  local a, b, c, d = byte(text, position, position + 3)
  if a < 0xc0 then return a, position + 1 end
  if a < 0xe0 then return a * 64 + b - 0x3080, position + 2 end
  if a < 0xf0 then return a * 4096 + b * 64 + c - 0xe2080, position + 3 end
  return a * 262144 + b * 4096 + c * 64 + d - 0x3c82080, position + 4
end

-- Text for a message: invalid UTF-8 becomes question marks.
function M.scrub(text)
  if M.is_utf8(text) then return text end
  return (gsub(text, "[\128-\255]", "?"))
end

--- A number as the name of a field, exactly.
function M.number_name(number)
  if floor(number) == number and number >= -M.MAX_EXACT and number <= M.MAX_EXACT then return format("%.0f", number) end
  for digits = 14, 17 do
    local name = format("%." .. digits .. "g", number)
    if tonumber(name) == number or digits == 17 then return name end
  end
end

--- The kind of a value, for a message about a wrong type.
function M.kind(value) return value == nil and "nothing" or "a " .. type(value) end

--- The kind of a value, or the number itself, for a message about a wrong number.
function M.amount(value) return type(value) == "number" and tostring(value) or M.kind(value) end

-- Whether a table is a list, and its length; nil and the reason if it is neither list nor object.
local function shape(t)
  if objects[t] then return false end
  local length, count, names = rawlen(t), 0, false
  for key in next, t do
    if type(key) == "number" then
      count = count + 1
      if key < 1 or key > length or floor(key) ~= key then
        return nil, length == 0 and "table has number keys but is not a list" or "list has holes"
      end
    elseif type(key) == "string" then
      names = true
    else
      return nil, format("table has a %s as key", type(key))
    end
  end
  if names and (count > 0 or arrays[t]) then return nil, "table mixes list and named keys" end
  if count < length then return nil, "list has holes" end
  return count > 0 or arrays[t] == true, count
end
M.shape = shape

local MAX_STEPS = 20 -- steps of a path that are shown

-- A path in Lua syntax: `input.images[2]["odd key"]`.
function M.path(keys, depth)
  local parts = {}
  for i = 1, depth < MAX_STEPS and depth or MAX_STEPS do
    local key = keys[i]
    if type(key) == "number" then
      parts[i] = format("[%d]", key)
    elseif find(key, "^[%a_][%w_]*$") then
      parts[i] = (i > 1 and "." or "") .. key
    else
      parts[i] = format("[%q]", M.scrub(key))
    end
  end
  return concat(parts) .. (depth > MAX_STEPS and "…" or "")
end

-- The reason why nesting exceeded the limit, and the depth. If a table occurs twice on the path, it is a cycle.
function M.too_deep(tables)
  for i = 1, M.MAX_DEPTH do
    for j = i + 1, M.MAX_DEPTH do
      if rawequal(tables[i], tables[j]) then return "table contains itself", j - 1 end
    end
  end
  return format("more than %d levels", M.MAX_DEPTH), M.MAX_DEPTH
end

return M
