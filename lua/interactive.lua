-- A state that evaluates one input after another, for a prompt. Globals and top-level locals persist: the inputs form
-- one long chunk, and the next input sees its locals as upvalues. An interrupt ends the input, not the state.

local use = ...
local msgpack, preview, task = use("msgpack"), use("preview"), use("task")

local M = {}

local load, next, pcall, rawget, rawset, select, type = load, next, pcall, rawget, rawset, select, type
local concat, find, format, gmatch, match, sub = table.concat, string.find, string.format, string.gmatch,
  string.match, string.sub
local getinfo, getupvalue, sethook, upvaluejoin = debug.getinfo, debug.getupvalue, debug.sethook, debug.upvaluejoin
local encode, decode = msgpack.encode, msgpack.decode
local unpack = table.unpack or unpack

local INSTRUCTIONS = 1000 -- between two checks for an interrupt
local GROUP = 50 -- locals that one closure keeps; LuaJIT lets a function have 60 upvalues
local MAX_RETURNS = 50 -- maximum occurrences of `return` to try, from the end of the chunk
local MAX_KEPT = 100 -- results that are kept as _1, _2, …
local MAX_NAMES = 5000 -- maximum names reported for one table

local RESERVED = {}
for word in gmatch("and break do else elseif end false for function goto if in local nil not or repeat return then "
  .. "true until while", "%a+") do
  RESERVED[word] = true
end

local bridge -- functions that the end of lua/bridge.lua passes
local env -- the globals
local kept = {} -- name of a local -> { closure, index }, the upvalue that it lives in

-- Locals of the top level -----------------------------------------------------------------------------------------

local function keep(closure)
  for i = 1, GROUP + 1 do
    local name = getupvalue(closure, i)
    if not name then return end
    if name ~= "_ENV" and name ~= "_" then kept[name] = { closure, i } end
  end
end

-- Connect the upvalues of a function with the locals of earlier inputs.
local function connect(f)
  for i = 1, 255 do
    local name = getupvalue(f, i)
    if not name then return f end
    local at = name ~= "_ENV" and kept[name]
    if at then upvaluejoin(f, i, at[1], at[2]) end
  end
  return f
end

local function words_of(source)
  local words, seen = {}, {}
  for word in gmatch(source, "[%a_][%w_]*") do
    if not seen[word] and not RESERVED[word] then
      seen[word] = true
      words[#words + 1] = word
    end
  end
  return words
end

local function is_whole(source) return load(source .. "\ndo end", "=check", "t", {}) ~= nil end

-- Split the chunk before its own `return`, if it ends with one. It is the `return` whose preceding text is a complete
-- chunk to which a statement can be added.
local function divided(source)
  if is_whole(source) then return source, "" end
  local places = {}
  for at in gmatch(source, "()%f[%w_]return%f[^%w_]") do
    places[#places + 1] = at
  end
  for i = #places, #places - MAX_RETURNS > 0 and #places - MAX_RETURNS or 1, -1 do
    local before = sub(source, 1, places[i] - 1)
    if is_whole(before) then return before, sub(source, places[i]) end
  end
end

-- The text of calls that pass closures over the locals in scope. In them, a name that is not a local is a global.
local function keeping(keeper, words)
  local calls = {}
  for i = 1, #words, GROUP do
    local last = i + GROUP - 1 < #words and i + GROUP - 1 or #words
    calls[#calls + 1] = format("%s(function() return %s end)", keeper, concat(words, ", ", i, last))
  end
  return concat(calls, " ")
end

-- A name that does not occur in the source, so that no script can call it.
local function unused(source)
  local name = "_keep"
  while find(source, name, 1, true) do
    name = name .. "_"
  end
  return name
end

local function known_of(words)
  local known = {}
  for i = 1, #words do
    if kept[words[i]] then known[#known + 1] = words[i] end
  end
  return known
end

-- The start of a function in the scope of those locals and of one function of this module.
local function head_of(own, known)
  return format("local %s = ... return function(...) ", concat({ own, unpack(known) }, ", "))
end

-- The chunk as a function in the scope of earlier locals, with unchanged line numbers.
local function scoped(source, name, declares)
  local words, keeper = words_of(source), unused(source)
  local before, after = source, ""
  if declares then
    before, after = divided(source)
    if not before then return nil end
    before = before .. (after == "" and "\n" or " ") .. keeping(keeper, words) .. " "
  end
  local text = head_of(keeper, known_of(words)) .. before .. after .. "\nend"
  local outer, message = bridge.load_text(text, name, env)
  if not outer then return nil, message end
  return connect(outer(keep))
end

local function hand_on(...) return ... end

-- An expression as a function that returns its values. A call passes them on, not a tail call, so errors name the line
-- of this chunk. The call is on the last line unless the line ends with a comment.
local function expressed(source, name)
  local taker = unused(source)
  local known = known_of(words_of(source))
  local form = head_of(taker, known) .. "return " .. taker .. "(%s%s) end"
  local outer = bridge.load_text(format(form, source, ""), name, env) or bridge.load_text(format(form, source, "\n"), name, env)
  return outer and connect(outer(hand_on))
end

-- A chunk whose last line, or the text after its last semicolon, is an expression: the chunk that returns it.
local function ending(source)
  local before, last = match(source, "^(.*[\n;])([^\n;]*)%s*$")
  local chunk = before and before .. "return " .. last
  return chunk and load(chunk, "=check", "t", {}) and chunk
end

-- The input as a function; an expression returns its values. Otherwise nil and the parser's message.
local function compile(source, name)
  if load("return " .. source, "=check", "t", {}) then
    return expressed(source, name) or scoped("return " .. source, name)
  end
  local alone, message = bridge.load_text(source, name, env)
  if not alone then
    source = ending(source)
    if not source then return nil, message end
  end
  local chunk = find(source, "local", 1, true) and scoped(source, name, true)
  if chunk then return chunk end
  return scoped(source, name)
end

-- Interrupts -------------------------------------------------------------------------------------------------------

local interrupted = function() return false end

--- Check for interrupts in the first byte of the memory of a file descriptor.
function M.watch(descriptor)
  local ffi = require("ffi")
  ffi.cdef("void *mmap(void *address, size_t length, int protection, int flags, int descriptor, long offset);")
  local PROT_READ, MAP_SHARED = 1, 1
  local page = ffi.C.mmap(nil, 1, PROT_READ, MAP_SHARED, descriptor, 0)
  if page == ffi.cast("void *", -1) then return end
  local flag = ffi.cast("volatile uint8_t *", page)
  interrupted = function() return flag[0] ~= 0 end
end

-- Once interrupted, every instruction of the script's own code fails, so that a pcall around it cannot continue. Code
-- that runs on behalf of the script is allowed to finish.
local function look()
  if not interrupted() then return end
  sethook(look, "", 1)
  local info = getinfo(2, "S")
  if info and bridge.is_own(info.source) then bridge.raise({ code = "interrupted", message = "interrupted" }) end
end

-- The next answer. If the input was interrupted, it does not continue with the answer.
local function receive()
  local id, answer, dropped = bridge.receive(interrupted)
  if dropped then sethook(look, "", 1) end
  return id, answer
end

-- Commands of the host ---------------------------------------------------------------------------------------------

local function remember(number, value)
  if value == nil then return end
  rawset(env, "_", value)
  rawset(env, "_" .. number, value)
  rawset(env, "_" .. number - MAX_KEPT, nil)
end

local function finish(number, ok, ...)
  if not ok then
    sethook()
    return bridge.fail((...))
  end
  local results, count = { ... }, select("#", ...)
  remember(number, results[1])
  local shown, frame = bridge.protected(function() return preview(results, count) end)
  sethook()
  if not shown then return bridge.fail(frame) end
  bridge.done(true, frame)
end

local commands = {}

--- Evaluate an input and answer with previews of its values. If there is a journal, its requests are recorded.
function commands.evaluate(source, name, number, journal)
  bridge.keep(journal)
  local main_chunk, message = compile(source, name)
  if not main_chunk then return bridge.fail(bridge.syntax_error(message)) end
  task.connect(receive, bridge.cancel)
  sethook(look, "", INSTRUCTIONS)
  finish(number, bridge.protected(function() return task.finish(main_chunk()) end))
end

--- The parser's messages for the source as an expression and as a chunk; nothing if it is valid.
function commands.check(source)
  local _, as_expression = load("return " .. source, "=input", "t", {})
  local _, as_chunk = load(ending(source) or source, "=input", "t", {})
  bridge.done(true, encode({ as_expression or false, as_chunk or false }))
end

local function value_of(name)
  local at = kept[name]
  if at then
    local _, value = getupvalue(at[1], at[2])
    return value
  end
  return rawget(env, name)
end

local function add_names(found, from, kind)
  for name, value in next, from do
    if #found >= MAX_NAMES then return end
    if type(name) == "string" and find(name, "^[%a_][%w_]*$") then found[#found + 1] = { name, kind or type(value) } end
  end
end

--- The names in a value, by raw access: `names("a", "b")` are those of `a.b`, `names()` all names in scope.
function commands.names(first, ...)
  local found = {}
  if first == nil then
    add_names(found, kept, "local")
    add_names(found, env)
    return bridge.done(true, encode(found))
  end
  local value = value_of(first)
  for i = 1, select("#", ...) do
    value = type(value) == "table" and rawget(value, (select(i, ...))) or nil
  end
  if type(value) == "string" then value = env.string end
  if type(value) == "table" then add_names(found, value) end
  bridge.done(true, #found > 0 and encode(found) or encode(use("values").array({})))
end

-- The next command. Late answers to an interrupted input's requests are skipped.
local function command(port)
  while true do
    local frame = decode(port.wait())
    if commands[frame[1]] then return frame end
  end
end

--- Execute commands as long as the host exists: `{ "evaluate", source, name, number }` followed by a journal's
--- `{ seed = …, began = … }`, `{ "check", source }`, `{ "names", … }`. Each is answered with a "done" frame.
function M.serve(parts, environment, port)
  bridge, env = parts, environment
  while true do
    local frame = command(port)
    local ok, failure = pcall(commands[frame[1]], unpack(frame, 2))
    sethook()
    if not ok then bridge.fail({ code = "script_error", message = bridge.error_text(failure) }) end
  end
end

return M
