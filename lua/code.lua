-- Lua text that a script loads: load, loadstring, require and package. Only text: LuaJIT does not verify bytecode.

local use = ...
local values, failures, guard = use("values"), use("failures"), use("guard")

local M = {}

local error, next, rawget, select, type = error, next, rawget, select, type
local raw_load, byte, concat, find, format, gsub = load, string.byte, table.concat, string.find, string.format,
  string.gsub
local match, sub = string.match, string.sub

local SHOWN = 40 -- bytes of a chunk's text that its name contains
local KNOWN = 1000 -- names of loaded chunks that are recognized in messages
local PATH = "./?.lua;./?/init.lua"
local LIBRARIES = { "_G", "string", "table", "math", "os", "coroutine", "io", "bit", "debug", "jit", "package", "json", "regex", "docs",
  "replicate", "integrations" }
local CLOSED = { ffi = true }

local known = 0

--- Compile text. Its name begins with "@", which tells a script's functions from those of this directory.
local function compile(source, name, env)
  if not failures.chunk_names["@" .. name] and known < KNOWN then
    known = known + 1
    failures.know(name)
  end
  return raw_load(source, "@" .. name, "t", env)
end

--- Compile the text of a file, whose lines are shown in messages.
function M.compile(source, name, env)
  failures.know(name, source)
  return compile(source, name, env)
end

-- A chunk's name as Lua shows it in messages.
local function shown(name)
  local first = byte(name)
  if first == 61 or first == 64 then return sub(name, 2) end -- "=" and "@"
  local line = match(name, "^[^\n]*")
  if #line < #name or #line > SHOWN then line = sub(line, 1, SHOWN) .. "..." end
  return format('[string "%s"]', line)
end

-- The text that a reader function returns in pieces.
local function pieces(reader)
  local parts = {}
  while true do
    local part = reader()
    if part == nil or part == "" then return concat(parts) end
    if type(part) ~= "string" then return nil, "reader function must return a string" end
    parts[#parts + 1] = part
  end
end

local function expect(name, position, wanted, value)
  error(format("bad argument #%d to '%s' (%s expected, got %s)", position, name, wanted,
    value == nil and "no value" or type(value)), 4)
end

local function loaded_text(env, caller, chunk, name, mode, given)
  if type(chunk) == "number" then chunk = chunk .. "" end
  if type(chunk) ~= "string" and (type(chunk) ~= "function" or caller == "loadstring") then
    expect(caller, 1, caller == "load" and "string or function" or "string", chunk)
  end
  if name ~= nil and type(name) ~= "string" then expect(caller, 2, "string", name) end
  if mode ~= nil and type(mode) ~= "string" then expect(caller, 3, "string", mode) end
  local text, message = chunk, nil
  if type(chunk) == "function" then text, message = pieces(chunk) end
  if not text then return nil, message end
  name = name or (text == chunk and text or "=(load)")
  if byte(text) == 27 then return nil, caller .. ": bytecode is refused; give Lua source text" end
  if mode and not find(mode, "t", 1, true) then
    return nil, format("attempt to load chunk with wrong mode (mode is '%s', only text is loaded)", values.scrub(mode))
  end
  return compile(text, shown(name), type(given) == "table" and given or env)
end

-- The script's package.path; nil if the script has not changed it.
local function search_path(package)
  local path = rawget(package, "path")
  return type(path) == "string" and path ~= PATH and path or nil
end

local function add_require(env, service)
  local loaded, preload, begun = {}, {}, {}
  local package = { loaded = loaded, preload = preload, path = PATH, cpath = "", config = "/\n;\n?\n!\n-\n" }
  env.package = package
  for _, name in next, LIBRARIES do
    loaded[name] = rawget(env, name)
  end

  local function loader(name)
    local own = rawget(preload, name)
    if own ~= nil then return own end
    if CLOSED[name] then
      failures.raise({ code = "script_error", ["function"] = "require",
        message = format("require: scripts have no library %s", name),
        hint = "remove the code that needs the library, or run that code outside of kosmolua" })
    end
    local module = service("require", { name = name, path = search_path(package) })
    local chunk, message = M.compile(module.source, module.file, env)
    if not chunk then failures.raise(failures.syntax_error(message)) end
    return chunk
  end

  --- Load a module from the script's directory, or return a library. Returns what its chunk returned, or true.
  function env.require(name)
    if type(name) ~= "string" then
      failures.mistake("require", "expected the name of a module, got " .. values.kind(name))
    end
    if rawget(loaded, name) then return loaded[name] end
    if begun[name] then
      failures.mistake("require", format("module %q is still being loaded, or failed to load before", values.scrub(name)))
    end
    local main_chunk = loader(name)
    begun[name] = true
    local value = main_chunk(name)
    begun[name] = nil
    if value ~= nil then loaded[name] = value end
    if rawget(loaded, name) == nil then loaded[name] = true end
    return loaded[name]
  end
end

--- Give an environment load, loadstring, package and require. `service` asks the host for a module.
function M.add(env, service)
  function env.load(chunk, name, mode, ...) return loaded_text(env, "load", chunk, name, mode, (...)) end
  function env.loadstring(text, name) return loaded_text(env, "loadstring", text, name) end

  local function file_text(path, text, mode, ...)
    text = gsub(gsub(text, "^\239\187\191", ""), "^#", "--")
    return loaded_text(env, "loadfile", text, "@" .. path, mode, (...))
  end

  --- Compile the text of a local file.
  function env.loadfile(path, mode, ...)
    if path == nil then return nil, "loadfile: expected a path; standard input cannot be loaded" end
    local ok, text = guard.pcall(service, "read", { path = path })
    if not ok then return nil, failures.error_text(text) end
    return file_text(path, text, mode, ...)
  end

  --- Run a local file.
  function env.dofile(path)
    if path == nil then error("dofile: expected a path; standard input cannot be loaded", 0) end
    local main_chunk, message = file_text(path, service("read", { path = path }))
    if not main_chunk then error(message, 0) end
    return main_chunk()
  end

  env.debug = {
    getinfo = function(...) return use("inspection").getinfo(...) end, -- a tail call, which does not add a level
    getmetatable = env.getmetatable,
    traceback = function(...) return use("inspection").traceback(...) end,
  }
  add_require(env, service)
end

return M
