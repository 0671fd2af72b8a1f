-- `json` for scripts. It is written in Lua, so it works without requests to the host.

local use = ...
local values = use("values")

local M = { null = values.null }

local byte, sub, find, format, gsub = string.byte, string.sub, string.find, string.format, string.gsub
local match, rep = string.match, string.rep
local concat, sort, floor, next, type, error, rawget = table.concat, table.sort, math.floor, next, type, error, rawget
local tonumber, tostring, rawequal = tonumber, tostring, rawequal
local huge, MAX_EXACT, MAX_DEPTH = math.huge, values.MAX_EXACT, values.MAX_DEPTH

local function argument_table(name, t)
  if type(t) ~= "table" then error(format("json.%s: expected a table, got %s", name, type(t)), 3) end
  return t
end

--- Mark a table as a list, so that it is `[]` when empty. Returns the table.
function M.array(t) return values.array(argument_table("array", t)) end

--- Mark a table as an object, so that number keys become names. Returns the table.
function M.object(t) return values.object(argument_table("object", t)) end

-- Encoding ------------------------------------------------------------------------------------------------------

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r",
  ["\t"] = "\\t" }

local function escape(c) return ESCAPES[c] or format("\\u%04x", byte(c)) end

local function quote(text) return '"' .. gsub(text, '[%c"\\]', escape) .. '"' end

local function number_text(number)
  if floor(number) == number and number >= -MAX_EXACT and number <= MAX_EXACT then return format("%.0f", number) end
  for digits = 15, 16 do
    local text = format("%." .. digits .. "g", number)
    if tonumber(text) == number then return text end
  end
  return format("%.17g", number)
end

local parts, size, keys, tables, indent

local function put(piece)
  size = size + 1
  parts[size] = piece
end

local function refuse(reason, depth)
  local path = values.path(keys, depth)
  error(format("json.encode: %s%s", reason, path == "" and "" or " - at `" .. path .. "`"), 0)
end

local function break_line(depth)
  if indent then put("\n" .. rep(indent, depth)) end
end

local write

local function write_list(list, length, depth)
  put("[")
  for i = 1, length do
    if i > 1 then put(",") end
    break_line(depth)
    keys[depth] = i
    write(list[i], depth)
  end
  if length > 0 then break_line(depth - 1) end
  put("]")
end

local function sorted_names(map)
  local names, count, numbers = {}, 0, nil
  for key in next, map do
    count = count + 1
    local name = key
    if type(key) == "number" then
      name = values.number_name(key)
      numbers = numbers or {}
      numbers[name] = key
    end
    names[count] = name
  end
  sort(names)
  return names, count, numbers
end

local function write_map(map, depth)
  local names, count, numbers = sorted_names(map)
  put("{")
  for i = 1, count do
    local name = names[i]
    if i > 1 then put(",") end
    break_line(depth)
    keys[depth] = name
    if not values.is_utf8(name) then refuse("name is not UTF-8", depth) end
    put(quote(name))
    put(indent and ": " or ":")
    if names[i + 1] == name then refuse("a number key and a string key give the same JSON name", depth) end
    local key = numbers and numbers[name]
    write(rawget(map, key == nil and name or key), depth)
  end
  if count > 0 then break_line(depth - 1) end
  put("}")
end

local function write_table(value, depth)
  if rawequal(value, values.null) then return put("null") end
  local file = values.files[value]
  if file and file.url then return put(quote(file.url)) end
  if file then refuse("a local file has no JSON form", depth) end
  if depth == MAX_DEPTH then refuse(values.too_deep(tables)) end
  local is_list, count = values.shape(value)
  if is_list == nil then refuse(count, depth) end
  depth = depth + 1
  tables[depth] = value
  if is_list then return write_list(value, count, depth) end
  return write_map(value, depth)
end

function write(value, depth)
  local kind = type(value)
  if kind == "string" then
    if not values.is_utf8(value) then refuse("string is not UTF-8", depth) end
    put(quote(value))
  elseif kind == "number" then
    if value ~= value or value == huge or value == -huge then refuse(format("number is %s", value), depth) end
    put(number_text(value))
  elseif kind == "boolean" then
    put(value and "true" or "false")
  elseif kind == "nil" then
    put("null")
  elseif kind == "table" then
    write_table(value, depth)
  else
    local integer = kind == "cdata" and match(tostring(value), "^(-?%d+)U?LL$")
    if not integer then refuse("a " .. kind .. " has no JSON form", depth) end
    put(integer)
  end
end

--- The value as JSON text with sorted names. `options.indent` is the number of spaces (0 to 16) per level.
function M.encode(value, options)
  local spaces = type(options) == "table" and tonumber(options.indent) or 0
  indent = spaces > 0 and rep(" ", spaces < 16 and spaces or 16) or nil
  parts, size, keys, tables = {}, 0, {}, {}
  write(value, 0)
  local text = concat(parts)
  parts, keys, tables = nil, nil, nil
  return text
end

-- Decoding ------------------------------------------------------------------------------------------------------

local text, at

local function place(position)
  local line, start = 1, 1
  while true do
    local newline = find(text, "\n", start, true)
    if not newline or newline >= position then break end
    line, start = line + 1, newline + 1
  end
  return format("line %d, column %d", line, position - start + 1)
end

local function fail(expected, position)
  position = position or at
  local found = position > #text and "the end of the text" or format("%q", values.scrub(sub(text, position, position)))
  error(format("json.decode: expected %s, got %s - at %s", expected, found, place(position)), 0)
end

local function skip_space() at = find(text, "[^ \t\r\n]", at) or #text + 1 end

local UNESCAPES = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

-- One \uXXXX, or two if the first is the high half of a pair; `from` is the position after the `u`.
local function read_code(from)
  local code = tonumber(sub(text, from, from + 3), 16)
  if not find(text, "^%x%x%x%x", from) then fail("four hexadecimal digits", from) end
  if code >= 0xd800 and code <= 0xdbff and find(text, "^\\u[dD][c-fC-F]%x%x", from + 4) then
    local low = tonumber(sub(text, from + 6, from + 9), 16)
    return values.utf8_char(0x10000 + (code - 0xd800) * 1024 + low - 0xdc00), from + 10
  end
  if code >= 0xd800 and code <= 0xdfff then fail("both halves of a surrogate pair", from) end
  return values.utf8_char(code), from + 4
end

local function read_string()
  local pieces, count = {}, 0
  local from = at + 1
  while true do
    local stop = find(text, '[%c"\\]', from)
    if not stop then fail("the closing quote", #text + 1) end
    count = count + 1
    pieces[count] = sub(text, from, stop - 1)
    local c = sub(text, stop, stop)
    if c == '"' then
      at = stop + 1
      return concat(pieces)
    elseif c ~= "\\" then
      if c ~= "\127" then fail("an escaped control character", stop) end
      pieces[count] = pieces[count] .. c
      from = stop + 1
    else
      local kind = sub(text, stop + 1, stop + 1)
      count = count + 1
      if kind == "u" then
        pieces[count], from = read_code(stop + 2)
      else
        pieces[count] = UNESCAPES[kind] or fail("an escape", stop + 1)
        from = stop + 2
      end
    end
  end
end

-- A number whose exponent is too long for Lua: zero or infinity, as Lua reads other numbers outside of its range.
local function beyond(digits)
  local sign, mantissa, exponent = match(digits, "^(-?)([%d.]+)[eE]([+-]?%d+)$")
  local value = (find(mantissa, "[1-9]") and sub(exponent, 1, 1) ~= "-") and huge or 0
  return sign == "-" and -value or value
end

local function read_number()
  local _, stop = find(text, "^-?%d+", at)
  if not stop or find(text, "^-?0%d", at) then fail("a value") end
  local whole = true
  local _, fraction = find(text, "^%.%d+", stop + 1)
  if fraction then stop, whole = fraction, false end
  local _, exponent = find(text, "^[eE][+-]?%d+", stop + 1)
  if exponent then stop, whole = exponent, false end
  local digits = sub(text, at, stop)
  at = stop + 1
  local number = tonumber(digits) or beyond(digits)
  local large = number >= MAX_EXACT or number <= -MAX_EXACT
  if whole and large and format("%.0f", number) ~= digits then return digits end
  return number
end

local read

local function read_list(depth)
  local list, count = {}, 0
  at = at + 1
  skip_space()
  if byte(text, at) == 93 then
    at = at + 1
    return values.array(list)
  end
  while true do
    local value = read(depth)
    count = count + 1
    if value == nil then value = values.null end
    list[count] = value
    skip_space()
    local c = byte(text, at)
    at = at + 1
    if c == 93 then return list end
    if c ~= 44 then fail("`,` or `]`", at - 1) end
  end
end

local function read_map(depth)
  local map = {}
  at = at + 1
  skip_space()
  if byte(text, at) == 125 then
    at = at + 1
    return map
  end
  while true do
    skip_space()
    if byte(text, at) ~= 34 then fail("a name in quotes") end
    local key = read_string()
    skip_space()
    if byte(text, at) ~= 58 then fail("`:`") end
    at = at + 1
    map[key] = read(depth)
    skip_space()
    local c = byte(text, at)
    at = at + 1
    if c == 125 then return map end
    if c ~= 44 then fail("`,` or `}`", at - 1) end
  end
end

local function read_word(word, value)
  if sub(text, at, at + #word - 1) ~= word then fail("a value") end
  at = at + #word
  return value
end

function read(depth)
  skip_space()
  if depth == MAX_DEPTH then fail(format("at most %d levels", MAX_DEPTH)) end
  local c = byte(text, at)
  if c == 123 then return read_map(depth + 1) end
  if c == 91 then return read_list(depth + 1) end
  if c == 34 then return read_string() end
  if c == 116 then return read_word("true", true) end
  if c == 102 then return read_word("false", false) end
  if c == 110 then return read_word("null", nil) end
  return read_number()
end

--- The value of a JSON text. A null field is absent, a null item is `json.null`, and an integer that a number cannot
--- represent exactly is a string of its digits.
function M.decode(source)
  if type(source) ~= "string" then error(format("json.decode: expected a string, got %s", type(source)), 2) end
  text, at = source, 1
  local value = read(0)
  skip_space()
  if at <= #text then fail("the end of the text") end
  text = nil
  return value
end

return M
