-- The script's side of its host: functions that become frames on the port, failures that become error tables, and one
-- run from its first frame to its last. A port has `submit(frame)` and `wait()`; kosmolua/runtime/port.py lists the
-- frames. Everything that a script could replace is copied into a local before the script starts.

local use = ...
local values, msgpack, json, guard, failures = use("values"), use("msgpack"), use("json"), use("guard"), use("failures")
local dump, task, file, workflows = use("dump"), use("task"), use("file"), use("workflow/workflow")
local code, system, output = use("code"), use("system"), use("workflow/output")
local determinism = use("determinism")

local M = {}

local error, next, pcall, rawequal, select = error, next, pcall, rawequal, select
local setmetatable, tostring, type = setmetatable, tostring, type
local collectgarbage = collectgarbage
local concat = table.concat
local find, format, match, sub = string.find, string.format, string.match, string.sub
local huge, randomseed, unpack = math.huge, math.randomseed, table.unpack or unpack

local MAX_NAME, NO_MEMORY = 100, failures.NO_MEMORY
local raise, mistake, describe, error_text = failures.raise, failures.mistake, failures.describe, failures.error_text
local ENGINE = msgpack.encode(jit and jit.version or _VERSION)

local port

-- Calls --------------------------------------------------------------------------------------------------------

local encode, integer = msgpack.encode, msgpack.integer
local PLACE, YES, NO, NIL = msgpack.head(2), encode(true), encode(false), encode(nil)

local function encode_for(name, value)
  local ok, frame = pcall(encode, value, true)
  if ok then return frame end
  if not msgpack.is_refusal(frame) then error(frame, 0) end
  mistake(name, frame.reason .. (frame.path == "" and "" or " - at `" .. frame.path .. "`"))
end

local journalled = false -- whether the host keeps a journal; requests then have their place, and waits are reported
local awaiting = false -- whether a wait is one request in the journal
local WAIT, DROPPED = msgpack.head(1) .. encode("wait"), msgpack.head(2) .. encode("wait") .. encode(true)

local function receive(alone)
  if journalled and not alone then port.submit(WAIT) end
  local answer = msgpack.decode(port.wait())
  return answer[2], answer
end

-- Receive an answer for an input that may be interrupted. Also returns whether the input was interrupted before it
-- had the answer, which it must not use then.
local function receive_awaited(interrupted)
  if journalled then port.submit(WAIT) end
  while true do
    local answer = msgpack.decode(port.wait())
    if task.awaits(answer[2]) then
      local dropped = interrupted()
      if journalled and dropped then port.submit(DROPPED) end
      return answer[2], answer, dropped
    end
  end
end

local function send(head, tail, id, alone, number, request)
  local frame = head[journalled] .. integer(id) .. (alone and YES or NO) .. tail
  if journalled then frame = frame .. PLACE .. integer(number) .. integer(request) end
  port.submit(frame)
end

-- Send a request frame, whose head and tail are already encoded, and wait for the answer.
local function ask(head, tail)
  local answer = task.ask(send, head, tail)
  local value = answer[3]
  if answer[1] == "error" then raise(value) end
  if not rawequal(value, values.null) then return value end -- in a frame, null represents nil
end

-- The head of a frame with `count` fields, and the head of a frame that also has the request's place.
local function head_of(name, count)
  return { [false] = msgpack.head(count) .. encode(name), [true] = msgpack.head(count + 1) .. encode(name) }
end

local CALL, SLEEP, TIME = head_of("call", 6), head_of("sleep", 4), head_of("time", 3)
local DELAYED, CANCEL = head_of("call", 8), head_of("cancel", 2)[false] -- never in a run with a journal

local function cancel(id)
  if not journalled then port.submit(CANCEL .. integer(id)) end
end

local NO_ARGUMENTS = encode({})

local function arguments_frame(name, arguments, ...)
  if arguments == nil and select("#", ...) == 0 then return NO_ARGUMENTS end
  if type(arguments) ~= "table" or select("#", ...) > 0 then
    local found = select("#", ...) > 0 and "several values" or "a " .. type(arguments)
    mistake(name, format("expected one table of named arguments, as in %s{...}, got %s", name, found))
  end
  local is_list, count = values.shape(arguments)
  if is_list and count > 0 then mistake(name, "expected named arguments, got a list") end
  return is_list and NO_ARGUMENTS or encode_for(name, arguments)
end

local function function_for(name, account)
  local target = encode(account) .. encode(name)
  return function(...) return output.named(ask(CALL, target .. arguments_frame(name, ...))) end
end

-- A function of the API for helpers. With `seconds`, the host waits that time before the call, in one request. In a run
-- with a journal, the wait and the call are two requests, so that earlier journals remain valid.
local function helpers_function(name, account)
  local target = encode(account) .. encode(name)
  return function(arguments, seconds)
    local tail = target .. arguments_frame(name, arguments)
    if not seconds then return output.named(ask(CALL, tail)) end
    if not journalled then return output.named(ask(DELAYED, tail .. NIL .. encode(seconds))) end
    ask(SLEEP, encode(seconds))
    return output.named(ask(CALL, tail))
  end
end

-- Raise an error for an unknown field: a misspelled name that is nil would fail later, with a worse message.
local function strict(table, missing)
  return setmetatable(table, {
    __index = function(_, name)
      if type(name) == "string" then missing(name) end
    end,
    __metatable = false,
  })
end

local function unknown_function(name) function_for(values.scrub(sub(name, 1, MAX_NAME)), "")() end

local host = { raise = raise, mistake = mistake } -- passed to the helpers

-- Errors name the helper that the script called.
function host.service(name, arguments, helper)
  return ask(CALL, encode("") .. encode("host." .. name) .. encode_for(helper or name, arguments))
end

function host.time() return ask(TIME, "") end

function host.sleep(seconds) ask(SLEEP, encode(seconds)) end

function host.awaits() return awaiting end

local function account_table(functions, account)
  local api = {}
  for i = 1, #functions do
    local names = functions[i]
    local wrapped = function_for(names[1], account)
    for j = 1, #names do
      api[names[j]] = wrapped
    end
  end
  local own = {} -- the helpers' own functions, which a script cannot change through its table
  for name in next, api do
    own[name] = helpers_function(name, account)
  end
  for name, helper in next, workflows(host, strict(own, unknown_function), account) do
    api[name] = helper
  end
  return api
end

-- Handle an unknown name in a table that also holds accounts.
local function unknown_member(accounts, provider)
  return function(name)
    local ok, failure = pcall(unknown_function, name)
    if ok then return end -- a name that the script removed from the table
    local is_plain = type(failure) == "table" and failure.hint and not find(failure.message, "did you mean", 1, true)
    if is_plain and not find(failure.message, "namespaces", 1, true) then
      local known = #accounts > 0 and "accounts: " .. concat(accounts, ", ")
      failure.hint = format("%s; %s", failure.hint, known
        or format("add an account: kosmo integrations:configure %s --account NAME", provider))
    end
    error(failure, 0)
  end
end

local function provider_table(start)
  local api = account_table(start.functions, "")
  api.default = strict(account_table(start.functions, ""), unknown_function)
  for i = 1, #start.accounts do
    local account = start.accounts[i]
    if api[account] == nil then api[account] = strict(account_table(start.functions, account), unknown_function) end
  end
  return strict(api, unknown_member(start.accounts, start.provider))
end

-- The functions that the user added to the host, by their names without "custom.".
local function custom_table(start)
  local own, known = {}, start.custom or {}
  for i = 1, #known do
    own[match(known[i], "%.(.*)")] = function_for(known[i], "")
  end
  return strict(own, function(name) unknown_function("custom." .. name) end)
end

local function integrations_table(start)
  return strict({ [start.provider] = provider_table(start) }, function(name)
    raise({
      code = "unknown_function",
      message = format("unknown integration %q; available: %s", values.scrub(sub(name, 1, MAX_NAME)), start.provider),
    })
  end)
end

-- Output -------------------------------------------------------------------------------------------------------

local PRINT = msgpack.head(3) .. encode("print")

local function put(stream, text) port.submit(PRINT .. encode(stream) .. msgpack.bytes(text)) end

-- Output uses the original tostring, but respects a script's __tostring.
local function line(...)
  local count = select("#", ...)
  local words = { ... }
  for i = 1, count do
    words[i] = tostring(words[i])
  end
  return concat(words, "\t", 1, count) .. "\n"
end

local function add_output(env)
  function env.print(...) put(1, line(...)) end
  function env.log(...) put(2, line(...)) end
  function env.dump(...)
    for i = 1, select("#", ...) do
      put(1, dump((select(i, ...))) .. "\n")
    end
    return ...
  end
end

-- Time ---------------------------------------------------------------------------------------------------------

local function add_time(env)
  --- Seconds since 1970, with a fraction, by the host's clock.
  function env.time() return host.time() end

  --- Wait the given number of seconds without using the CPU.
  function env.sleep(seconds)
    if type(seconds) ~= "number" or not (seconds >= 0 and seconds < huge) then
      mistake("sleep", format("expected seconds, zero or more, got %s", values.amount(seconds)))
    end
    host.sleep(seconds)
  end
end

-- Regular expressions ------------------------------------------------------------------------------------------

local function refuse_regex(name, reason) mistake("regex." .. name, reason) end

-- The first call loads the module: loading it takes half as long as loading the bridge, and few scripts need it.
local function regex_function(name)
  return function(...)
    local regex = use("regex")
    regex.refuse_with(refuse_regex)
    return regex[name](...)
  end
end

-- Documentation -----------------------------------------------------------------------------------------------

local function add_docs(env)
  local function ask_docs(action, what, text)
    if type(text) ~= "string" then mistake("docs." .. action, format("expected %s, got %s", what, values.kind(text))) end
    return host.service("docs", { action = action, text = text })
  end

  --- The documentation. `list` returns the `name`, `kind` and `summary` of each page, `search` the pages that match a
--- query, and `read` the text of a page.
  env.docs = {
    list = function() return host.service("docs", { action = "list" }) end,
    search = function(query) return ask_docs("search", "a query", query) end,
    read = function(name) return ask_docs("read", "the name of a page", name) end,
  }
end

-- A journal --------------------------------------------------------------------------------------------------

local exchange -- installs a journal's clock and order
local seed -- of the current journal

-- Continue with a journal, `{ seed = …, began = …, awaits = 1 }`, or without one. A new journal restarts the random
-- numbers. Journals of earlier versions have no `awaits`: their waits are polls.
local function keep(journal)
  journalled = journal ~= nil
  awaiting = journalled and journal.awaits == 1
  if seed == (journal and journal.seed) then return end
  seed = journal and journal.seed
  exchange(journal)
  if seed then
    randomseed(seed)
    host.begin_anew(seed)
  end
end

-- Workflows ----------------------------------------------------------------------------------------------------

local HELPERS = { "run", "wait", "stream", "each", "download" } -- also globals

local function add_workflows(env)
  local replicate = env.integrations.replicate
  env.replicate = replicate
  for i = 1, #HELPERS do
    env[HELPERS[i]] = replicate[HELPERS[i]]
  end

  --- A local file for a model's input. The host reads it when it is sent.
  function env.file(path)
    if type(path) ~= "string" then mistake("file", "expected the path of a file, got " .. values.kind(path)) end
    return file.of_path(path)
  end
end

-- One run ------------------------------------------------------------------------------------------------------

local ended = false -- set by the script with `exit`

local function outcome(ok, frame, status)
  return msgpack.head(6) .. encode("done") .. encode(ok) .. frame .. encode(collectgarbage("count") * 1024) .. ENGINE
    .. encode(status or 0)
end

local function done(ok, frame, status) port.submit(outcome(ok, frame, status)) end

-- End the run. Its own process waits until the host ends it. In a shared process, an error that scripts cannot catch
-- ends the run.
local function leave(status)
  done(true, encode(values.array({})), status)
  ended = true
  if port.alive then guard.die("the script has ended") end
  while true do
    port.wait()
  end
end

-- `exit` at a prompt, which must not end the state.
local function stay() mistake("exit", "to leave a prompt, enter :quit or press Ctrl-D") end

-- The arguments as the lua command gives them: the script's name is item 0.
local function arg_table(start)
  local arg = { [0] = start.name }
  for i = 1, #start.args do
    arg[i] = start.args[i]
  end
  return arg
end

local function environment(start)
  local env = use("sandbox")
  env.spawn, env.parallel, env.race = task.spawn, task.parallel, task.race
  env.coroutine.resume, env.coroutine.wrap, env.coroutine.yield = task.resume, task.wrap, task.yield
  env.coroutine.running, env.coroutine.isyieldable = task.running, task.isyieldable
  env.json = { encode = json.encode, decode = json.decode, null = json.null, array = json.array, object = json.object }
  env.regex = {
    match = regex_function("match"), match_all = regex_function("match_all"), gsub = regex_function("gsub"),
  }
  env.integrations = integrations_table(start)
  env.app = { integrations = env.integrations }
  env.args = start.named or start.args
  env.arg = arg_table(start)
  if #(start.custom or {}) > 0 then env.custom = custom_table(start) end
  add_output(env)
  add_time(env)
  add_docs(env)
  add_workflows(env)
  system.add(env, put, host.service, start.interactive and stay or leave, start.env or {})
  code.add(env, host.service)
  exchange = determinism.exchanger(env)
  keep(start.journal)
  return env
end

local function no_memory(report)
  return guard.reached() == "memory" or find(report.message, NO_MEMORY, 1, true) ~= nil
end

local function limit_report(where)
  return encode({ code = "limit_reached", message = guard.reached() or "memory", where = where })
end

local function fail(report)
  if ended then return end
  guard.stop()
  local limited = guard.reached() or no_memory(report)
  done(false, limited and limit_report(guard.place() or report.where) or encode(report))
end

local function finish(ok, ...)
  if ended then return end
  guard.stop()
  if not ok then return fail((...)) end
  local results = { ... }
  for i = 1, select("#", ...) do
    if results[i] == nil then results[i] = values.null end
  end
  local encoded, frame = pcall(encode, values.array(results))
  if encoded then return done(true, frame) end
  if not msgpack.is_refusal(frame) then return fail(describe(frame)) end
  local path = frame.path == "[1]" and "" or " - at `result" .. frame.path .. "`"
  fail({
    code = "script_error",
    message = "cannot return this value: " .. frame.reason .. path,
    hint = "return plain data: strings, numbers, booleans and tables of them",
  })
end

local function run(start)
  local main_chunk, message = code.compile(start.source, start.name, environment(start))
  if not main_chunk then return fail(failures.syntax_error(message)) end
  task.connect(receive, cancel)
  return finish(failures.run(function() return task.finish(main_chunk(unpack(start.args))) end))
end

-- The guard can raise its error once more after the script has ended and before the guard is stopped.
local function guarded(start)
  local ok, failure = pcall(run, start)
  guard.stop()
  return ok, failure
end

--- Run one script. The first frame from the port is a map of `source`, `name`, `args`, `provider`, `functions` (a list
--- of lists of names) and `accounts`, and of `cpu` and `memory` in a shared process.
--- If the frame has `interactive`, it has no source, and inputs follow.
function M.serve(the_port)
  port = the_port
  local start = msgpack.decode(port.wait())
  if start.interactive then
    local parts = { is_own = failures.is_own, load_text = code.compile, receive = receive_awaited, raise = raise, cancel = cancel }
    parts.protected, parts.syntax_error, parts.error_text = failures.run, failures.syntax_error, error_text
    parts.done, parts.fail, parts.keep = done, fail, keep
    return use("interactive").serve(parts, environment(start), port)
  end
  if port.leave_with then
    guard.report_with(function() port.leave_with(outcome(false, limit_report(guard.place()))) end)
  end
  guard.limit(start.cpu, start.memory, port.alive)
  local returned, ok, failure = pcall(guarded, start)
  guard.stop()
  if not returned then ok, failure = false, ok end
  if not ok then fail({ code = "script_error", message = error_text(failure) }) end
end

return M
