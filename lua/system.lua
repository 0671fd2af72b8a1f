-- The surroundings of a script: output without a newline, standard input, text files, the environment variables that it
-- may read, and its exit status.

local use = ...
local values, failures, file = use("values"), use("failures"), use("file")

local M = {}

local error, next, select, setmetatable, tostring, type = error, next, select, setmetatable, tostring, type
local raw_collect, concat, floor, format = collectgarbage, table.concat, math.floor, string.format
local mistake = failures.mistake

local MAX_STATUS = 255

local function joined(...)
  local parts, count = { ... }, select("#", ...)
  for i = 1, count do
    parts[i] = tostring(parts[i])
  end
  return concat(parts, "", 1, count)
end

-- Standard output or standard error, as a value with methods.
local function output(put, number, name)
  local made = {}
  function made.write(self, ...)
    put(number, joined(...))
    return self
  end
  function made.flush(self) return self end
  function made.setvbuf() return true end
  function made.close() return true end
  return setmetatable(made, { __tostring = function() return "file (" .. name .. ")" end, __metatable = "stream" })
end

local function add_streams(env, put, service)
  local input -- created on first use
  local function reading(name)
    return function(...)
      input = input or use("stdio").input(service)
      return input[name](...)
    end
  end
  local read, lines = reading("read"), reading("lines")
  local stdout, stderr = output(put, 1, "stdout"), output(put, 2, "stderr")
  local stdin = setmetatable({
    read = function(_, ...) return read(...) end,
    lines = function(_, ...) return lines(...) end,
    close = function() return true end,
  }, { __tostring = function() return "file (stdin)" end, __metatable = "stream" })

  --- Write values to standard output, with nothing between or after them.
  function env.write(...) put(1, joined(...)) end -- returns nothing, for a prompt

  env.stdin = stdin
  env.io = {
    write = function(...) return stdout:write(...) end,
    read = read,
    lines = function(path, ...)
      if path == nil then return lines(...) end
      return env.file(path):lines(...)
    end,
    open = function(path, mode) return use("stdio").open(env.file(path), mode or "r") end,
    stdin = stdin,
    stdout = stdout,
    stderr = stderr,
  }
end

local function add_files(env, service)
  file.read_with(function(path) return service("read", { path = path }) end)

  local function write(name, path, text, mode)
    if type(path) ~= "string" then mistake(name, "expected the path of a file, got " .. values.kind(path)) end
    if type(text) == "number" then text = tostring(text) end
    if type(text) ~= "string" then
      local hint = type(text) == "table" and "; convert it: json.encode(value)" or ""
      mistake(name, format("expected text to write, got %s%s", values.kind(text), hint))
    end
    return service("write", { path = path, text = text, mode = mode })
  end

  --- Write text to a file. A file that the run did not write is only replaced with `overwrite = true`.
  function env.write_file(path, text, options)
    options = use("workflow/options").checked("write_file", options, mistake)
    return write("write_file", path, text, options.overwrite and "replace" or "new")
  end

  --- Add text to the end of a file, which is created if it is missing.
  function env.append_file(path, text) return write("append_file", path, text, "append") end
end

local function status_of(code)
  if code == nil or code == true then return 0 end
  if code == false then return 1 end
  if type(code) ~= "number" or code < 0 or code > MAX_STATUS or floor(code) ~= code then
    mistake("exit", format("expected a status from 0 to %d, true or false, got %s", MAX_STATUS, values.amount(code)))
  end
  return code
end

-- Options that change the garbage collector are accepted without effect: the memory limit relies on it.
local UNCHANGED = { stop = 0, restart = 0, setpause = 200, setstepmul = 200, isrunning = true, generational = "incremental",
  incremental = "incremental" }

local function collect(option)
  option = option or "collect"
  if option == "count" then return raw_collect("count") end
  if option == "collect" then return raw_collect("collect") end
  if option == "step" then
    raw_collect("collect")
    return true
  end
  if UNCHANGED[option] == nil then
    error(format("bad argument #1 to 'collectgarbage' (invalid option '%s')", values.scrub(tostring(option))), 2)
  end
  return UNCHANGED[option]
end

--- Add these functions to an environment. `put(stream, text)` prints, `service(name, arguments)` asks the host,
--- `leave(status)` ends the run and does not return; `variables` are the environment variables that it may read.
function M.add(env, put, service, leave, variables)
  add_streams(env, put, service)
  add_files(env, service)
  env.collectgarbage = collect

  --- End the run with an exit status.
  function env.exit(code) leave(status_of(code)) end

  env.os.exit = env.exit

  --- The value of an environment variable that `--allow-env` opened, or nil.
  function env.os.getenv(name)
    if type(name) ~= "string" then mistake("os.getenv", "expected a name, got " .. values.kind(name)) end
    return variables[name]
  end
end

return M
