-- The part of MessagePack (msgpack.org) that a state and its host use, with two extension types from the state to the
-- host: local files, and integers that no double can represent. Nulls, empty lists and 64-bit integers are read as
-- `values.lua` defines.

local use = ...
local values = use("values")

local M = {}

local byte, char, sub, format = string.byte, string.char, string.sub, string.format
local concat, floor, next, type, error, rawequal, setmetatable = table.concat, math.floor, next, type, error, rawequal,
  setmetatable
local rawget = rawget
local huge, MAX_EXACT, MAX_DEPTH = math.huge, values.MAX_EXACT, values.MAX_DEPTH
local null, array, shape, is_utf8, files = values.null, values.array, values.shape, values.is_utf8, values.files
local digits_of = values.digits
local LOCAL_FILE, DIGITS = char(1), char(2) -- types of extensions

-- Doubles -------------------------------------------------------------------------------------------------------

local pack_double, read_double
local integer64 -- the bytes of a 64-bit integer; nil for any other value

if string.pack then -- PUC Lua 5.3 and later
  local pack, unpack, kind_of = string.pack, string.unpack, math.type
  integer64 = function(value) return kind_of(value) == "integer" and "\211" .. pack(">i8", value) or nil end
  pack_double = function(number) return pack(">d", number) end
  read_double = function(text, at) return (unpack(">d", text, at)) end
else
  local ffi = require("ffi")
  local cell = ffi.new("union { double number; uint64_t integer; uint8_t bytes[8]; }")
  local istype, int64, uint64 = ffi.istype, ffi.typeof("int64_t"), ffi.typeof("uint64_t")
  integer64 = function(value)
    local signed = istype(int64, value)
    if not signed and not istype(uint64, value) then return nil end
    cell.integer = value
    local b = cell.bytes
    local tag = signed and value < 0 and 0xd3 or 0xcf
    return char(tag, b[7], b[6], b[5], b[4], b[3], b[2], b[1], b[0])
  end
  pack_double = function(number)
    cell.number = number
    local b = cell.bytes
    return char(b[7], b[6], b[5], b[4], b[3], b[2], b[1], b[0])
  end
  read_double = function(text, at)
    local b = cell.bytes
    b[7], b[6], b[5], b[4], b[3], b[2], b[1], b[0] = byte(text, at, at + 7)
    return cell.number
  end
end

-- The number of two 32-bit halves, if a double represents it exactly.
local function exact(high, low)
  if high < 2097152 or (high == 2097152 and low == 0) then return high * 4294967296 + low end
end

-- Decimal text of a 64-bit integer given as two 32-bit halves, for values that no double represents exactly.
local function decimal(high, low, negative)
  local digits = ""
  repeat
    local carry = high % 10 * 4294967296 + low
    high, low = floor(high / 10), floor(carry / 10)
    digits = format("%d", carry % 10) .. digits
  until high == 0 and low == 0
  return (negative and "-" or "") .. digits
end

-- Reading -------------------------------------------------------------------------------------------------------

local text, at -- what is being read, and where

local function u16()
  local a, b = byte(text, at, at + 1)
  at = at + 2
  return a * 256 + b
end

local function u32()
  local a, b, c, d = byte(text, at, at + 3)
  at = at + 4
  return ((a * 256 + b) * 256 + c) * 256 + d
end

local function string_of(length)
  local from = at
  at = from + length
  return sub(text, from, at - 1)
end

local function u64()
  local high, low = u32(), u32()
  return exact(high, low) or decimal(high, low, false)
end

local function i64()
  local high, low = u32(), u32()
  if high < 2147483648 then
    at = at - 8
    return u64()
  end
  high, low = 4294967295 - high, 4294967296 - low
  if low == 4294967296 then
    high, low = high + 1, 0
  end
  local size = exact(high, low)
  return size and -size or decimal(high, low, true)
end

local read

-- LuaJIT's `table.new(items, fields)`, which makes a table of the right size at once.
local has_new, new = pcall(require, "table.new")
if not has_new then new = function() return {} end end

local function read_list(length)
  local list = new(length, 0)
  if length == 0 then return array(list) end
  for i = 1, length do
    local value = read()
    list[i] = value == nil and null or value
  end
  return list
end

local function read_map(length)
  local map = new(0, length)
  for _ = 1, length do
    local key = read()
    map[key] = read() -- a null field is an absent field
  end
  return map
end

local readers = {
  [0xc0] = function() return nil end,
  [0xc2] = function() return false end,
  [0xc3] = function() return true end,
  [0xca] = function() error("single precision numbers are not supported") end,
  [0xcb] = function()
    at = at + 8
    return read_double(text, at - 8)
  end,
  [0xcc] = function()
    at = at + 1
    return byte(text, at - 1)
  end,
  [0xcd] = u16,
  [0xce] = u32,
  [0xcf] = u64,
  [0xd0] = function()
    at = at + 1
    local found = byte(text, at - 1)
    return found < 128 and found or found - 256
  end,
  [0xd1] = function()
    local found = u16()
    return found < 32768 and found or found - 65536
  end,
  [0xd2] = function()
    local found = u32()
    return found < 2147483648 and found or found - 4294967296
  end,
  [0xd3] = i64,
  [0xd9] = function()
    at = at + 1
    return string_of(byte(text, at - 1))
  end,
  [0xda] = function() return string_of(u16()) end,
  [0xdb] = function() return string_of(u32()) end,
  [0xdc] = function() return read_list(u16()) end,
  [0xdd] = function() return read_list(u32()) end,
  [0xde] = function() return read_map(u16()) end,
  [0xdf] = function() return read_map(u32()) end,
}
readers[0xc4], readers[0xc5], readers[0xc6] = readers[0xd9], readers[0xda], readers[0xdb] -- bytes are strings

function read()
  local tag = byte(text, at)
  at = at + 1
  if tag < 0x80 then return tag end
  if tag >= 0xe0 then return tag - 256 end
  if tag >= 0xc0 then return readers[tag]() end
  if tag >= 0xa0 then return string_of(tag - 0xa0) end
  if tag >= 0x90 then return read_list(tag - 0x90) end
  return read_map(tag - 0x80)
end

function M.decode(frame)
  text, at = frame, 1
  local value = read()
  text = nil
  return value
end

-- Writing -------------------------------------------------------------------------------------------------------

local parts, size = {}, 0 -- the pieces of the frame, and their number
local keys, tables = {}, {} -- the path to the value being written
local bytes_depth -- maximum depth of a string that is not UTF-8
local KEPT = 4096 -- maximum bytes of a frame whose tables are reused for the next one

local function put(piece)
  size = size + 1
  parts[size] = piece
end

-- The frame. Its parts are freed, unless it is small.
local function whole()
  local frame = concat(parts, "", 1, size)
  if #frame > KEPT then
    parts, keys, tables = {}, {}, {}
  end
  return frame
end

local function big(number, bytes)
  local digits = {}
  for i = bytes, 1, -1 do
    digits[i] = char(number % 256)
    number = floor(number / 256)
  end
  return concat(digits)
end

local function integer(number)
  if number >= 0 then
    if number < 0x80 then return char(number) end
    if number < 0x100 then return char(0xcc, number) end
    if number < 0x10000 then return "\205" .. big(number, 2) end
    if number < 0x100000000 then return "\206" .. big(number, 4) end
    return "\207" .. big(number, 8)
  end
  if number >= -32 then return char(256 + number) end
  if number >= -0x80000000 then return "\210" .. big(number + 0x100000000, 4) end
  local high = floor(number / 0x100000000)
  return "\211" .. big(high + 0x100000000, 4) .. big(number - high * 0x100000000, 4)
end

local function header(length, fix, fixed, short, tag8, tag16, tag32)
  if length < fixed then return char(fix + length) end
  if tag8 and length < 0x100 then return char(tag8, length) end
  if length < 0x10000 then return short .. big(length, 2) end
  return char(tag32) .. big(length, 4)
end

local function put_text(value)
  put(header(#value, 0xa0, 32, "\218", 0xd9, 0xda, 0xdb))
  put(value)
end

local function put_bytes(value)
  local length = #value
  if length < 0x100 then
    put(char(0xc4, length))
  elseif length < 0x10000 then
    put("\197" .. big(length, 2))
  else
    put("\198" .. big(length, 4))
  end
  put(value)
end

local Refusal = {}
Refusal.__index = Refusal

local function refuse(reason, depth)
  local path = values.path(keys, depth)
  parts, keys, tables = {}, {}, {}
  error(setmetatable({ reason = reason, path = path }, Refusal), 0)
end

function M.is_refusal(value) return type(value) == "table" and getmetatable(value) == Refusal end

local write

local function write_list(list, length, depth)
  put(header(length, 0x90, 16, "\220", nil, 0xdc, 0xdd))
  for i = 1, length do
    keys[depth] = i
    write(list[i], depth)
  end
end

local function write_map(map, depth)
  local length = 0
  for _ in next, map do
    length = length + 1
  end
  put(header(length, 0x80, 16, "\222", nil, 0xde, 0xdf))
  for key, value in next, map do
    keys[depth] = key
    if type(key) == "number" then
      key = values.number_name(key)
      if rawget(map, key) ~= nil then refuse("a number key and a string key give the same JSON name", depth) end
    end
    if not is_utf8(key) then refuse("name is not UTF-8", depth) end
    put_text(key)
    write(value, depth)
  end
end

local function write_file(file, depth)
  if file.url then return put_text(file.url) end
  if bytes_depth < 0 then refuse("a local file has no JSON form", depth) end
  if not is_utf8(file.path) then refuse("path is not UTF-8", depth) end
  put("\201" .. big(#file.path, 4) .. LOCAL_FILE .. file.path)
end

local function put_digits(text) put("\201" .. big(#text, 4) .. DIGITS .. text) end

local function write_table(value, depth)
  if rawequal(value, null) then return put("\192") end
  if files[value] then return write_file(files[value], depth) end
  if digits_of[value] then return put_digits(digits_of[value]) end
  if depth == MAX_DEPTH then refuse(values.too_deep(tables)) end
  local is_list, count = shape(value)
  if is_list == nil then refuse(count, depth) end
  depth = depth + 1
  tables[depth] = value
  if is_list then return write_list(value, count, depth) end
  return write_map(value, depth)
end

function write(value, depth)
  local kind = type(value)
  if kind == "string" then
    if is_utf8(value) then return put_text(value) end
    if depth > bytes_depth then refuse("string is not UTF-8", depth) end
    return put_bytes(value)
  elseif kind == "number" then
    if value ~= value or value == huge or value == -huge then refuse(format("number is %s", value), depth) end
    if floor(value) == value and value >= -MAX_EXACT and value <= MAX_EXACT then return put(integer(value)) end
    return put(integer64(value) or "\203" .. pack_double(value))
  elseif kind == "boolean" then
    return put(value and "\195" or "\194")
  elseif kind == "nil" then
    return put("\192")
  elseif kind == "cdata" and integer64(value) then
    return put(integer64(value))
  elseif kind == "table" then
    return write_table(value, depth)
  end
  refuse("a " .. kind .. " cannot leave the script", depth)
end

-- Encode a value as MessagePack, with raw access and in one pass, so that no code of the script runs meanwhile. Raises
-- a refusal `{reason, path}` for a value without a JSON form. Local files and strings that are not UTF-8 are refused.
-- With `with_bytes`, files are allowed, and such strings are allowed in the fields of `value` itself.
function M.encode(value, with_bytes)
  size, bytes_depth = 0, with_bytes and 1 or -1
  write(value, 0)
  return whole()
end

--- MessagePack of an integer that a double represents exactly.
M.integer = integer

-- The head of a list of fewer than 16 items.
function M.head(count) return char(0x90 + count) end

function M.bytes(value)
  size = 0
  put_bytes(value)
  return whole()
end

return M
