-- Limits for a run that shares its process with the host. A count hook checks time and memory, and asks the host
-- whether the run continues. After the end, pcall, xpcall and coroutines pass the error on instead of catching it.
-- The hook fires only in interpreted code, so the compiler is off while it is set. It does not fire inside a C
-- function: this stops accidents, not attacks. A child process does not need it and uses the plain functions: the
-- kernel ends it, and `watch` finds the line.

local M = {
  pcall = pcall,
  xpcall = xpcall,
  create = coroutine.create,
  resume = coroutine.resume,
  wrap = coroutine.wrap,
}

local error, select, type, clock, collectgarbage = error, select, type, os.clock, collectgarbage
local byte, find, gsub, sub, getinfo = string.byte, string.find, string.gsub, string.sub, debug.getinfo
local raw_pcall, raw_xpcall, raw_resume, create = pcall, xpcall, coroutine.resume, coroutine.create
local debug, jit, format = debug, jit, string.format

local INSTRUCTIONS = 1000 -- between two checks; a smaller number costs more time, a larger one is less exact
-- CPU seconds between two questions to the host. Each may have to wait 5 ms for Python's interpreter lock.
local ASKS = 0.02

-- The message, the limit that was reached ("cpu", "memory" or "host"), and the script's line at that moment. LuaJIT
-- forgets the line of a coroutine that an error in a hook has ended.
local dead, reached, place
local stopped, report = false, nil

local function alive(...)
  if dead then error(dead, 0) end
  return ...
end

local function finish(ok, ...)
  if not ok then error((...), 0) end
  return ...
end

-- The results of a protected call. An error of a C function called directly gets its caller's line, as without a guard.
local function placed(ok, message, ...)
  if not ok and type(message) == "string" and find(message, "^guard%.lua:%d+: ") then
    local info = getinfo(3, "Sl")
    local at = info and info.currentline > 0 and sub(info.source, 2) .. ":" .. info.currentline .. ": " or ""
    message = at .. gsub(message, "^guard%.lua:%d+: ", "")
  end
  return ok, message, ...
end

local function check(name, count, f)
  if count == 0 then error("bad argument #1 to '" .. name .. "' (value expected)", 3) end
  if name == "xpcall" and type(f) ~= "function" then
    error("bad argument #2 to 'xpcall' (function expected, got " .. (count < 2 and "no value" or type(f)) .. ")", 3)
  end
end

local function guarded(hook)
  -- LuaJIT's hook applies to every coroutine; PUC Lua needs it set on each.
  M.create = jit and create or function(f)
    local co = create(f)
    debug.sethook(co, hook, "", INSTRUCTIONS)
    return co
  end
  M.pcall = function(...)
    check("pcall", select("#", ...))
    return alive(placed(raw_pcall(...)))
  end
  M.xpcall = function(...)
    local f, handler = ...
    check("xpcall", select("#", ...), handler)
    return alive(raw_xpcall(f, function(...) return handler(alive(...)) end, select(3, ...)))
  end
  M.resume = function(co, ...) return alive(raw_resume(co, ...)) end
  M.wrap = function(f)
    local co = M.create(f)
    return function(...) return finish(alive(raw_resume(co, ...))) end
  end
end

--- Whether a function with this source belongs to the script. Sources of scripts begin with "@", those of this
--- directory's modules with "=".
function M.is_own(source) return byte(source) == 64 end -- "@"

--- The current line of one of the script's functions, as "file:line".
function M.line_of(info) return format("%s:%d", sub(info.source, 2), info.currentline) end

--- The line of the script's innermost frame, or nil if no frame is the script's. The caller's own frame is skipped.
function M.script_line()
  local level = 3
  while true do
    local info = getinfo(level, "Sl")
    if not info then return nil end
    if M.is_own(info.source) then return M.line_of(info) end
    level = level + 1
  end
end

-- The line of the script's innermost frame in a coroutine that is not running.
local function line_in(thread)
  local level = 0
  while true do
    local info = getinfo(thread, level, "Sl")
    if not info then return nil end
    if M.is_own(info.source) then return M.line_of(info) end
    level = level + 1
  end
end

local script_line = M.script_line

--- Limit this state: `cpu` in seconds from now, `memory` in bytes. Each may be nil. `alive`, if given, returns 0 once
--- the host has ended the run.
function M.limit(cpu, memory, alive)
  if not (cpu or memory or alive) then return end
  if jit then jit.off() end
  local asked = clock()
  local ends, kilobytes = cpu and clock() + cpu, memory and memory / 1024
  local function hook()
    if stopped then return end
    if ends and clock() > ends then
      dead, reached = format("cpu limit of %g s reached", cpu), "cpu"
    elseif kilobytes and collectgarbage("count") > kilobytes then
      collectgarbage()
      if collectgarbage("count") > kilobytes then
        dead, reached = format("memory limit of %d bytes reached", memory), "memory"
      end
    elseif alive and clock() - asked > ASKS then
      if alive() == 0 then
        dead, reached = "the host has ended this run", "host"
      end
      asked = clock()
    end
    if dead then
      place = place or script_line()
      error(dead, 0)
    end
  end
  guarded(hook)
  debug.sethook(hook, "", INSTRUCTIONS)
end

--- Find the line at which this process reaches its CPU limit, in seconds. The kernel's timer then sends SIGPROF once.
--- LuaJIT's profiler handles the signal, even in compiled code, which runs no hooks. Until then the profiler costs
--- nothing: five loops of calls, tables and strings took the same time with it. Inside a C function it does not react.
function M.watch(cpu)
  require("jit.profile").start("l", function(thread)
    if stopped or not report then return end
    dead, reached, place = format("cpu limit of %g s reached", cpu), "cpu", line_in(thread)
    raw_pcall(report)
  end)
end

--- Set the function that runs when `watch` has found the line. It ends the process, because the profiler cannot raise
--- an error.
function M.report_with(f) report = f end

--- End the run with an error that scripts cannot catch.
function M.die(message)
  dead = message
  error(message, 0)
end

--- The limit that ended the run: "cpu", "memory", "host" or nil.
function M.reached() return reached end

--- The script's line at which the run was ended: "file:line" or nil.
function M.place() return place end

function M.stop()
  stopped = true
  debug.sethook()
end

return M
