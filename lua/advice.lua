-- Hints for Lua's own errors: a name that scripts do not have or that is misspelled, an output that does not exist yet,
-- and habits from other languages and the official clients.

local M = {}

local min, next, rawget, type = math.min, next, rawget, type
local byte, find, format, gmatch, match = string.byte, string.find, string.format, string.gmatch, string.match

local MOST_NAMES = 1000 -- globals that are compared
local MOST_LETTERS = 40 -- in a name that is compared
local NEAR = 3 -- letters of a name for which one wrong letter is accepted

local PROCESSES = "scripts cannot use processes, and files only by file(path):read(), write_file(path, text), "
  .. "append_file(path, text), and io.open for reading"
local HOST = "scripts cannot access the interpreter; require(name) loads a module and load(text) compiles text"
local WAIT = "predictions have no methods: use p = wait(prediction), or run, which waits"
local CANCEL = "use replicate.cancel_prediction { prediction_id = prediction.id }"

local OPEN = "io.open returned nil: write assert(io.open(path)) to see the reason; reading needs --allow-read DIR, and "
  .. "write_file(path, text) writes"
local INSERT = "write table.insert(list, value)"

local ADVICE = {
  global = {
    utf8 = "LuaJIT has no utf8; regex.match_all(text, '.', 's') finds the characters",
    console = "write print(…), or log(…) for standard error",
    len = "write #list or #text",
    str = "write tostring(value)",
    int = "write tonumber(text), or math.floor(number)",
    float = "write tonumber(text)",
    range = "write for i = 1, n do",
    enumerate = "write for index, item in ipairs(list) do",
    try = "write local ok, err = pcall(function() … end)",
    await = "leave out await: every call waits for its answer",
    async = "leave out async; spawn(f) and parallel(list, f) run tasks at once",
    Replicate = "no client is needed: use run(model, input) and replicate.<function>",
    custom = "add Python functions to the run: kosmo lua --functions MODULE:NAME, or Host(functions={...})",
  },
  field = {
    output = "a prediction has no output until it has succeeded; use wait(prediction), or run, which waits",
    tointeger = "use math.floor(n)",
    loadlib = HOST,
    gethook = HOST,
    sethook = HOST,
    getupvalue = HOST,
    getlocal = HOST,
    getregistry = HOST,
    path = "name a file with file(path)",
  },
  method = {
    save = "only a file has :save(path): many models return a list of files, so use images[1]:save(path); the output "
      .. "of a prediction is URLs, so use download(prediction.output, './')",
    url = "url is a field: write output.url",
    read = "only file(path) has :read(); save an output first: output:save(path)",
    trim = "write text:match('^%s*(.-)%s*$')",
    strip = "write text:match('^%s*(.-)%s*$')",
    split = "write for part in text:gmatch('[^,]+') do",
    replace = "write text:gsub(pattern, replacement)",
    includes = "write text:find(part, 1, true)",
    startswith = "write text:sub(1, #start) == start",
    endswith = "write text:sub(-#ending) == ending",
  },
}
for name in gmatch("ffi getfenv module newproxy python setfenv", "%a+") do
  ADVICE.global[name] = HOST
end
for name in gmatch("execute output input popen remove rename setlocale tmpfile tmpname", "%a+") do
  ADVICE.field[name] = ADVICE.field[name] or PROCESSES
end
for name in gmatch("push append add insert", "%a+") do
  ADVICE.field[name], ADVICE.method[name] = INSERT, INSERT
end
for name in gmatch("parse loads", "%a+") do
  ADVICE.field[name] = "write json.decode(text)"
end
for name in gmatch("stringify dumps", "%a+") do
  ADVICE.field[name] = "write json.encode(value)"
end
for name in gmatch("join concat", "%a+") do
  ADVICE.field[name], ADVICE.method[name] = "write table.concat(list, ', ')", "write table.concat(list, ', ')"
end
for name in gmatch("wait reload refresh poll", "%a+") do
  ADVICE.field[name], ADVICE.method[name] = WAIT, WAIT
end
ADVICE.field.cancel, ADVICE.method.cancel = CANCEL, CANCEL
for name in gmatch("None null undefined NULL", "%a+") do
  ADVICE.global[name] = "write nil, or json.null within a list"
end

-- Pattern of the message, pattern of the line, hint.
local MISTAKES = {
  { "global 'f'", "f[\"']", "Lua has no f-strings: write 'a ' .. name, or string.format('a %s', name)" },
  { "attempt to index", "%[0%]", "lists begin at 1: the first item is [1]" },
  { "attempt to index.*nil value", "io%.open", OPEN },
  { "attempt to index.*nil value", ":read%(", OPEN },
  { "attempt to index.*nil value", ":write%(", OPEN },
  { "attempt to index.*nil value", ":lines%(", OPEN },
  { "attempt to call a table value", "for.-in", "write for _, item in ipairs(list) do, or pairs(t)" },
  { "attempt to index %w+ 'self'", "", "call the method with a colon: object:method(…)" },
  { "attempt to concatenate.*table value", "", "convert the table: json.encode(value)" },
  { "attempt to concatenate.*nil value", "", "assign the value first, or give a default: (value or '')" },
  { "attempt to concatenate", "", "convert the value: tostring(value)" },
  { "attempt to get length of.*nil value", "", "assign the list first; a function without return returns nil" },
  { "attempt to perform arithmetic on.*string value", "+", "write .. to join texts, and tonumber(text) for numbers" },
  { "attempt to perform arithmetic on.*nil value", "", "assign the value first, or give a default: (value or 0)" },
  { "attempt to compare", "", "compare values of one type: tonumber(text) makes a number of text" },
  { "bad argument #1 to 'i?pairs' %(table expected, got nil%)", "", "the list is nil: check the function that returned it" },
  { "bad argument #1 to 'for iterator'", "", "write for _, item in ipairs(list) do, or pairs(t)" },
}

-- The number of letters that must be changed, added, removed or swapped with a neighbor.
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

--- The key of a table that is nearest to a name, or nil if none is near.
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

local function of_mistake(message, line)
  for i = 1, #MISTAKES do
    local said, written, hint = MISTAKES[i][1], MISTAKES[i][2], MISTAKES[i][3]
    if find(message, said) and find(line, written) then return hint end
  end
end

-- Whether the API has a function of that name, which is not a global. Raw access, because an unknown name would raise.
local function is_function(names, name)
  local functions = rawget(names, "replicate")
  return type(functions) == "table" and rawget(functions, name) ~= nil
end

--- The hint for an error message, or nil. `names` is a table of the globals, `line` the text of the line.
function M.on(message, names, line)
  local kind, name = match(message, "attempt to .-(%l+) '([%w_]+)'")
  local is_nil = find(message, "a nil value", 1, true)
  local known = is_nil and kind and ADVICE[kind] and ADVICE[kind][name]
  if known then return known end
  local is_global = is_nil and kind == "global"
  if is_global and is_function(names, name) then return format("write replicate.%s", name) end
  local other = is_global and M.nearest(name, names)
  if other then return format("unknown name %s; did you mean %s?", name, other) end
  if name == "url" and find(message, "string value", 1, true) then return ADVICE.method.url end
  return of_mistake(message, line)
end

return M
