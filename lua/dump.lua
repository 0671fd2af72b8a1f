-- Format a value as Lua source for people: sorted names, limited depth and length, cycles marked.

local use = ...
local values = use("values")

local format, gsub, rep, find, sub = string.format, string.gsub, string.rep, string.find, string.sub
local concat, sort, next, type, tostring, rawequal = table.concat, table.sort, next, type, tostring, rawequal

local MAX_DEPTH, MAX_ITEMS, MAX_STRING, WIDTH = 8, 200, 2000, 100
local RESERVED = {}
for word in string.gmatch("and break do else elseif end false for function goto if in local nil not or repeat "
  .. "return then true until while", "%a+") do
  RESERVED[word] = true
end

local ESCAPES = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ['"'] = '\\"', ["\\"] = "\\\\" }

local function quoted(text)
  local cut = #text > MAX_STRING
  if cut then text = sub(text, 1, MAX_STRING) end
  text = gsub(text, '[%c"\\]', function(c) return ESCAPES[c] or format("\\%d", string.byte(c)) end)
  return '"' .. values.scrub(text) .. '"' .. (cut and "…" or "")
end

local function before(a, b)
  if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
  return type(a) == "number" or (type(a) == "string" and type(b) ~= "number")
end

local function ordered_keys(t)
  local keys, count = {}, 0
  for key in next, t do
    count = count + 1
    keys[count] = key
  end
  sort(keys, before)
  return keys, count
end

local render

local function name(key, depth, open)
  if type(key) == "string" and find(key, "^[%a_][%w_]*$") and not RESERVED[key] then return key end
  return "[" .. render(key, depth, open) .. "]"
end

local function items(t, depth, open)
  local keys, count = ordered_keys(t)
  local lines, position = {}, 0
  for i = 1, count do
    if i > MAX_ITEMS then
      lines[i] = format("… %d more", count - MAX_ITEMS)
      break
    end
    local key = keys[i]
    local value = render(t[key], depth + 1, open)
    if key == position + 1 then
      position = key
      lines[i] = value
    else
      lines[i] = name(key, depth + 1, open) .. " = " .. value
    end
  end
  return lines
end

local function in_one_line(lines, depth)
  local length = depth * 2 + 4
  for i = 1, #lines do
    length = length + #lines[i] + 2
    if length > WIDTH or find(lines[i], "\n", 1, true) then return nil end
  end
  return "{ " .. concat(lines, ", ") .. " }"
end

local function render_table(t, depth, open)
  if rawequal(t, values.null) then return "null" end
  local file = values.files[t]
  if file then return (file.url and "file at " or "file ") .. quoted(file.url or file.path) end
  if open[t] then return "{ … itself }" end
  if next(t) == nil then return values.shape(t) and "[]" or "{}" end
  if depth >= MAX_DEPTH then return "{ … }" end
  open[t] = true
  local lines = items(t, depth, open)
  open[t] = nil
  local pad = rep("  ", depth + 1)
  return in_one_line(lines, depth)
    or "{\n" .. pad .. concat(lines, ",\n" .. pad) .. ",\n" .. rep("  ", depth) .. "}"
end

function render(value, depth, open)
  if type(value) == "string" then return quoted(value) end
  if type(value) == "table" then return render_table(value, depth, open) end
  return tostring(value)
end

return function(value) return render(value, 0, {}) end
