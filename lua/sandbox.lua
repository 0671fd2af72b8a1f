-- The environment of a script: an allow-list in the order of the Lua 5.1 manual, then LuaJIT's extensions. Each missing
-- name is a comment with its reason. The tables are created for each state, so a script that changes `string` or `math`
-- changes only its own.

local use = ...
local guard = use("guard")

local function pick(from, names)
  local to = {}
  for name in string.gmatch(names, "%S+") do
    to[name] = from[name]
  end
  return to
end

local unpack = table.unpack or unpack

-- 5.1 Basic functions
local env = pick(_G, "assert error getmetatable ipairs next pairs rawequal rawget rawset select setmetatable "
  .. "tonumber tostring type _VERSION")
env._G = env
env.unpack = unpack
env.pcall, env.xpcall = guard.pcall, guard.xpcall
-- collectgarbage, gcinfo   stop or starve the collector that the memory limit relies on
-- dofile, loadfile         read local files
-- getfenv, setfenv         reach the environment of the host's own functions
-- load, loadstring         take bytecode, which LuaJIT does not verify
-- module, require          reach every library through package.loaded
-- newproxy                 userdata with __gc, which runs where no limit applies
-- print                    the bridge provides its own, which sends output to the host

-- 5.2 Coroutine manipulation
env.coroutine = pick(coroutine, "isyieldable running status yield")
env.coroutine.create, env.coroutine.resume, env.coroutine.wrap = guard.create, guard.resume, guard.wrap

-- 5.3 Modules
-- package                  loaders, C libraries, and `loaded` with everything that is missing here

-- 5.4 String manipulation
env.string = pick(string, "byte char find format gmatch gsub len lower match rep reverse sub upper")
-- dump                     makes bytecode

-- 5.5 Table manipulation
env.table = pick(table, "concat insert maxn move remove sort")
env.table.unpack = unpack
env.table.pack = function(...) return { n = select("#", ...), ... } end
-- foreach, foreachi, getn, setn: removed in later versions of Lua; pairs, ipairs and # do the same

-- 5.6 Mathematical functions
env.math = pick(math, "abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max min "
  .. "modf pi pow rad random randomseed sin sinh sqrt tan tanh")

-- 5.7 Input and output
-- io                       local files; the bridge provides print and log

-- 5.8 Operating system
env.os = pick(os, "clock date difftime time")
-- execute, exit, getenv, remove, rename, setlocale, tmpname: processes, environment and files of the machine

-- 5.9 Debugging
-- debug                    upvalues, registries and hooks of everything, the host's functions included

-- LuaJIT
env.bit = bit and pick(bit, "arshift band bnot bor bswap bxor lshift rol ror rshift tobit tohex")
-- ffi                      calls into the C library
env.jit = jit and pick(jit, "arch os version version_num") -- libraries recognize LuaJIT by them
-- jit.on, off, flush, opt  switch the compiler, and with it the hook that limits inline runs

-- lupa
-- python                   Python itself

-- `("x"):rep(3)` finds its method here; the original table is not accessible.
local strings = getmetatable("")
strings.__index = env.string
strings.__metatable = false

return env
