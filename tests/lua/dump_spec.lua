local T = {}

T["shows a value as Lua would write it, names in order"] = function(use)
  assert(use("dump")({ b = 2, a = "x", [1] = true, ["end"] = 1 }) == '{ true, a = "x", b = 2, ["end"] = 1 }')
end

T["breaks values that are too wide for a line"] = function(use)
  local text = use("dump")({ a = ("x"):rep(60), b = ("y"):rep(60) })
  assert(text == '{\n  a = "' .. ("x"):rep(60) .. '",\n  b = "' .. ("y"):rep(60) .. '",\n}')
end

T["distinguishes empty lists, null and cycles"] = function(use)
  local values = use("values")
  local t = { list = values.array({}), none = values.null, object = {} }
  t.self = t
  assert(use("dump")(t) == "{ list = [], none = null, object = {}, self = { … itself } }")
end

T["bounds depth, length and strings"] = function(use)
  local dump = use("dump")
  local deep, long = {}, {}
  for _ = 1, 20 do
    deep = { deep }
  end
  for i = 1, 500 do
    long[i] = i
  end
  assert(dump(deep):find("{ … }", 1, true))
  assert(dump(long):find("… 300 more", 1, true))
  assert(#dump(("x"):rep(10000)) < 2100)
end

T["escapes control characters"] = function(use) assert(use("dump")("\27[2J\n") == '"\\27[2J\\n"') end

return T
