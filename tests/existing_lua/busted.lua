-- The part of busted and luassert that the specs of the measured libraries use. The module defines globals;
-- `finish()` returns the number of passed tests and the failures.

local passed, failures, pending_count = 0, {}, 0
local names, befores, afters, finals = {}, {}, {}, {}

local function same(a, b, seen)
  if rawequal(a, b) or a == b then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return false end
  seen = seen or {}
  if seen[a] == b then return true end
  seen[a] = b
  for key, value in pairs(a) do
    if not same(value, b[key], seen) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

local function shown(value)
  if type(value) == "table" then
    local ok, text = pcall(json.encode, value)
    return ok and text or tostring(value)
  end
  return type(value) == "string" and string.format("%q", value) or tostring(value)
end

local function raises(f, wanted, matcher)
  local ok, failure = pcall(f)
  if ok then return false, "no error" end
  if wanted == nil then return true end
  if type(failure) == "string" and type(wanted) == "string" and not matcher then
    failure = failure:gsub("^.-:%d+: ", "", failure:find("^[^\n]-:%d+: ") and 1 or 0)
    local plain = wanted:gsub("^.-:%d+: ", "", wanted:find("^[^\n]-:%d+: ") and 1 or 0)
    return failure == plain, shown(failure)
  end
  if matcher then return tostring(failure):find(wanted) ~= nil, shown(failure) end
  return same(failure, wanted), shown(failure)
end

local checks = {
  equal = function(a, b) return a == b end,
  same = same,
  ["true"] = function(a) return a == true end,
  ["false"] = function(a) return a == false end,
  ["nil"] = function(a) return a == nil end,
  truthy = function(a) return not not a end,
  falsy = function(a) return not a end,
  near = function(a, b, tolerance) return a >= b - tolerance and a <= b + tolerance end,
  match = function(pattern, text) return tostring(text):find(pattern) ~= nil end,
  error = raises,
  error_match = function(f, wanted) return raises(f, wanted, true) end,
  match_error = function(f, wanted) return raises(f, wanted, true) end,
}
for name, other in pairs({ equals = "equal", errors = "error", matches = "match", error_matches = "error_match",
  matches_error = "match_error", is_same = "same" }) do
  checks[name] = checks[other]
end
for _, kind in ipairs({ "table", "number", "string", "boolean", "function", "thread", "userdata" }) do
  checks[kind] = function(a) return type(a) == kind end
end

local WORDS = { is = true, are = true, has = true, have = true, was = true, be = true, a = true, an = true, the = true,
  message = true, does = true, to = true }
local NOT = { ["not"] = true, no = true, Not = true }
local chain

local function check(name, negated, ...)
  local found = checks[name]
  if not found then error("the shim has no assertion " .. name, 3) end
  local ok, detail = found(...)
  if (not not ok) == negated then
    local words = {}
    for i = 1, select("#", ...) do
      words[i] = shown((select(i, ...)))
    end
    error(string.format("%s%s(%s)%s", negated and "not " or "", name, table.concat(words, ", "),
      detail and ": " .. tostring(detail) or ""), 3)
  end
  return ...
end

function chain(so_far, negated)
  return setmetatable({}, {
    __index = function(_, name)
      local rest, is_negated = so_far == "" and name or so_far .. "_" .. name, negated
      while true do
        local first, more = rest:match("^(%a+)_(.+)$")
        if checks[rest] then break end
        if first and WORDS[first] then
          rest = more
        elseif first and NOT[first] then
          rest, is_negated = more, not is_negated
        elseif WORDS[rest] then
          rest = ""
          break
        elseif NOT[rest] then
          rest, is_negated = "", not is_negated
          break
        else
          break
        end
      end
      return chain(rest, is_negated)
    end,
    __call = function(_, ...)
      if so_far == "" then
        if not (...) then error((select(2, ...)) or "assertion failed!", 2) end
        return ...
      end
      return check(so_far, negated, ...)
    end,
  })
end

assert = chain("", false)
rawset(assert, "spy", function(value)
  local function methods(negated)
    return setmetatable({}, {
      __index = function(_, name)
        if name == "was" or name == "is" or name == "has_been" or name == "has" or name == "been" then return methods(negated) end
        if name == "was_not" or name == "is_not" or name == "Not" or name == "not" then return methods(not negated) end
        return function(...)
          local wanted, ok = { ... }, false
          if name:find("called_with$") then
            for _, call in ipairs(value.calls) do
              local values = {}
              for i = 1, call.n do
                values[i] = call[i]
              end
              ok = ok or same(values, wanted)
            end
          elseif wanted[1] then
            ok = #value.calls == wanted[1]
          else
            ok = #value.calls > 0
          end
          if name:find("not") then ok = not ok end
          check("true", negated, ok)
        end
      end,
    })
  end
  return methods(false)
end)
rawset(assert, "stub", rawget(assert, "spy"))
rawset(assert, "register", function(_, _, name, f)
  checks[name] = function(...) return f({}, { n = select("#", ...), ... }) end
end)
rawset(assert, "set_parameter", function() end)
rawset(assert, "message", function() return assert end)

local function call_all(list, from, to, step)
  for i = from, to, step do
    for _, f in ipairs(list[i] or {}) do
      f()
    end
  end
end

function describe(name, f)
  local depth = #names + 1
  names[depth], befores[depth], afters[depth], finals[depth] = name, {}, {}, {}
  local ok, failure = pcall(f)
  if not ok then failures[#failures + 1] = table.concat(names, " / ") .. ": " .. tostring(failure) end
  for _, final in ipairs(finals[depth]) do
    pcall(final)
  end
  names[depth], befores[depth], afters[depth], finals[depth] = nil, nil, nil, nil
end

function it(name, f)
  if not f then
    pending_count = pending_count + 1
    return
  end
  local ok, failure = pcall(function()
    call_all(befores, 1, #names, 1)
    f()
  end)
  pcall(call_all, afters, #names, 1, -1)
  if ok then
    passed = passed + 1
  else
    failures[#failures + 1] = table.concat(names, " / ") .. " / " .. name .. ": " .. tostring(failure)
  end
end

context, test, spec = describe, it, it
function before_each(f) table.insert(befores[#names], f) end
function after_each(f) table.insert(afters[#names], f) end
function setup(f) f() end
function teardown(f) table.insert(finals[#names], f) end
lazy_setup, lazy_teardown, strict_setup, strict_teardown = setup, teardown, setup, teardown
function pending() pending_count = pending_count + 1 end
function insulate(name, f) describe(type(name) == "string" and name or "", f or name) end
expose = insulate
function finally() end
function randomize() end

local function spied(f)
  local calls = {}
  return setmetatable({ calls = calls, clear = function() for i = #calls, 1, -1 do calls[i] = nil end end }, {
    __call = function(_, ...)
      calls[#calls + 1] = { n = select("#", ...), ... }
      if f then return f(...) end
    end,
  })
end

spy = {
  new = spied,
  on = function(t, name)
    t[name] = spied(t[name])
    return t[name]
  end,
}
stub = function(t, name) t[name] = spied() return t[name] end
package.preload["luassert"] = function() return assert end
package.preload["luassert.assert"] = package.preload["luassert"]
package.preload["luassert.spy"] = function() return spy end
package.preload["luassert.say"] = function() return { set = function() end } end
package.preload["say"] = package.preload["luassert.say"]
package.preload["busted"] = function() return {} end

function finish() return { passed = passed, pending = pending_count, failures = failures } end
