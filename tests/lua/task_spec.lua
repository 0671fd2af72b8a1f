-- Tests the scheduler with a simulated host, which keeps requests and answers them in an order that the test chooses.

local tests = {}

-- A new scheduler and its host. `host.order` returns the index of the request to answer next: by default the oldest.
local function fresh(use)
  local task = use("task")
  local host = { open = {}, log = {}, canceled = {}, most = 0, alone = 0 }
  function host.order() return 1 end
  local function answer()
    assert(#host.open > 0, "the scheduler waits for an answer, and nothing is open")
    local item = table.remove(host.open, host.order(host.open))
    host.log[#host.log + 1] = item.what
    return item.id, { item.what }
  end
  task.connect(answer, function(id) host.canceled[#host.canceled + 1] = id end)
  local function ask(what)
    return task.ask(function(_, _, id, alone)
      host.open[#host.open + 1] = { id = id, what = what }
      host.most = math.max(host.most, #host.open)
      if alone then host.alone = host.alone + 1 end
    end)[1]
  end
  return task, ask, host
end

local function newest(host)
  function host.order(open) return #open end
end

local function raises(f, ...)
  local ok, why = pcall(f, ...)
  assert(not ok, "expected an error")
  return type(why) == "table" and why.message or why
end

local function eq(expected, actual)
  assert(expected == actual, ("expected %s, got %s"):format(tostring(expected), tostring(actual)))
end

tests["a request of the main chunk is sent as the only one"] = function(use)
  local _, ask, host = fresh(use)
  eq("a", ask("a"))
  eq(1, host.alone)
end

tests["tasks wait concurrently"] = function(use)
  local task, ask, host = fresh(use)
  newest(host)
  local a, b = task.spawn(ask, "a"), task.spawn(ask, "b")
  eq("a", a:await())
  eq("b", b:await())
  eq("b,a", table.concat(host.log, ","))
  eq(0, host.alone)
end

tests["a task returns several values, including nil"] = function(use)
  local task = fresh(use)
  local a = task.spawn(function(...) return ... end, nil, 2, nil)
  eq(3, select("#", a:await()))
  eq(2, (select(2, a:await())))
  eq("done", a:status())
end

tests["an error is raised unchanged where its task is awaited"] = function(use)
  local task = fresh(use)
  local thrown = { message = "no" }
  local a = task.spawn(function() error(thrown) end)
  local ok, why = pcall(a.await, a)
  assert(not ok and why == thrown)
  task.finish()
end

tests["an error of a task that is not awaited is raised at the end"] = function(use)
  local task = fresh(use)
  task.spawn(function() error("lost", 0) end)
  eq("lost", raises(task.finish))
end

tests["the script waits for every task before it ends"] = function(use)
  local task, ask, host = fresh(use)
  task.spawn(function()
    ask("a")
    ask("b")
  end)
  task.finish()
  eq("a,b", table.concat(host.log, ","))
end

tests["tasks continue during requests of the main chunk"] = function(use)
  local task, ask, host = fresh(use)
  local a = task.spawn(function() return ask("a") .. ask("b") end)
  eq("m", ask("m"))
  eq("ab", a:await())
end

tests["parallel keeps the order of its items and its limit"] = function(use)
  local task, ask, host = fresh(use)
  newest(host)
  local items = {}
  for i = 1, 20 do
    items[i] = "i" .. i
  end
  local results = task.parallel(items, function(item, index) return ask(item) .. ":" .. index end, { limit = 3 })
  eq(20, #results)
  eq("i7:7", results[7])
  eq(3, host.most)
end

tests["the first error of parallel ends the rest"] = function(use)
  local task, ask, host = fresh(use)
  local done = 0
  local why = raises(task.parallel, { 1, 2, 3, 4, 5, 6 }, function(item)
    ask("x" .. item)
    if item == 2 then error("two", 0) end
    done = done + 1
  end, { limit = 2 })
  eq("two", why)
  assert(done <= 2)
  task.finish()
end

tests["parallel collects errors on request"] = function(use)
  local task, ask = fresh(use)
  local results = task.parallel({ 1, 2 }, function(item)
    ask("x")
    if item == 1 then error("one", 0) end
    return item
  end, { on_error = "collect" })
  eq("one", results[1].error)
  eq(2, results[2].value)
end

tests["parallel of an empty list returns an empty list"] = function(use)
  local task = fresh(use)
  eq(0, #task.parallel({}, error))
end

tests["parallel refuses an invalid limit"] = function(use)
  local task = fresh(use)
  assert(raises(task.parallel, { 1 }, print, { limit = 0 }):find("limit of 1 or more, got 0", 1, true))
  assert(raises(task.parallel, { 1 }, print, { limit = 0 / 0 }):find("limit of 1 or more, got", 1, true))
  assert(raises(task.parallel, { 1 }, print, { limit = "2" }):find("limit of 1 or more, got a string", 1, true))
end

tests["parallel refuses a table that is not a list"] = function(use)
  local task = fresh(use)
  assert(raises(task.parallel, { dawn = 1 }, print):find("expected a list, got a table with named keys", 1, true))
  assert(#task.parallel({}, print) == 0)
end

tests["parallel refuses an option that it does not know"] = function(use)
  local task = fresh(use)
  local message = raises(task.parallel, { 1 }, print, { limt = 4 })
  assert(message:find("parallel: unknown option `limt`; expected limit, on_error", 1, true))
  assert(raises(task.parallel, { 1 }, print, { on_error = "skip" }):find('as `on_error`, got "skip"', 1, true))
end

tests["an error from reading an item is handled like an error of the function"] = function(use)
  local task = fresh(use)
  local items = setmetatable({ 1, 2 }, { __index = function() error("no such item", 0) end })
  eq("no such item", raises(task.parallel, items, function() items[2] = nil end, { limit = 1 }))
end

tests["only the host resumes a coroutine that waits for it"] = function(use)
  local task, ask, host = fresh(use)
  local own, inner
  local a = task.spawn(function()
    own = coroutine.running()
    inner = coroutine.create(function() return ask("inner") end)
    return select(2, task.resume(inner))
  end)
  local b = task.spawn(function()
    ask("b")
    local why = {}
    for i, co in ipairs({ own, inner }) do
      local ok, message = task.resume(co, { "forged" })
      why[i] = tostring(ok) .. " " .. message
    end
    return table.concat(why, "; ")
  end)
  newest(host)
  local refusal = "false cannot resume a coroutine that is waiting, or a task"
  eq(refusal .. "; " .. refusal, b:await())
  eq("inner", a:await())
end

tests["parallel can be nested"] = function(use)
  local task, ask, host = fresh(use)
  newest(host)
  local results = task.parallel({ 1, 2, 3 }, function(row)
    return table.concat(task.parallel({ 1, 2, 3 }, function(column) return ask(row .. column) end), " ")
  end)
  eq("11 12 13|21 22 23|31 32 33", table.concat(results, "|"))
  eq(9, host.most)
end

tests["an error in parallel ends the tasks of a nested parallel"] = function(use)
  local task, ask = fresh(use)
  local after = 0
  raises(task.parallel, { 1, 2 }, function(row)
    if row == 2 then
      ask("b")
      error("no", 0)
    end
    task.parallel({ 1, 2 }, function()
      ask("a")
      ask("a")
      ask("a")
      after = after + 1
    end)
  end)
  task.finish()
  eq(0, after)
end

tests["race takes the first that succeeds"] = function(use)
  local task, ask = fresh(use)
  local slow_ended = false
  local winner, more = task.race({
    function()
      ask("a")
      error("a failed", 0)
    end,
    function()
      ask("b")
      return "b", "more"
    end,
    function()
      ask("c")
      ask("c")
      slow_ended = true
    end,
  })
  eq("b", winner)
  eq("more", more)
  task.finish()
  assert(not slow_ended)
end

tests["race raises an error if all fail"] = function(use)
  local task = fresh(use)
  eq("two", raises(task.race, { function() error("one", 0) end, function() error("two", 0) end }))
  assert(raises(task.race, {}):find("expected a list of functions", 1, true))
end

tests["a canceled task does not continue, and awaiting it raises an error"] = function(use)
  local task, ask, host = fresh(use)
  local went_on = false
  local a = task.spawn(function()
    ask("a")
    went_on = true
  end)
  ask("m")
  assert(a:cancel())
  assert(not a:cancel())
  eq(1, #host.canceled)
  eq(host.open[1].id, host.canceled[1])
  eq("canceled", a:status())
  eq("the task was canceled", raises(a.await, a))
  task.finish()
  assert(not went_on)
end

tests["a task can end itself"] = function(use)
  local task = fresh(use)
  local a
  a = task.spawn(function()
    a:cancel()
    error("went on")
  end)
  task.finish()
  eq("canceled", a:status())
end

tests["tasks that wait for each other raise a deadlock error"] = function(use)
  local task = fresh(use)
  local a, b
  a = task.spawn(function() b:await() end)
  b = task.spawn(function() a:await() end)
  assert(raises(a.await, a):find("wait only for each other", 1, true))
  local c
  c = task.spawn(function() c:await() end)
  assert(raises(c.await, c):find("wait for itself", 1, true))
end

tests["a script's coroutine in a task suspends the task"] = function(use)
  local task, ask, host = fresh(use)
  newest(host)
  local resume, wrap = task.resume, task.wrap
  local function generator(name)
    return wrap(function()
      for i = 1, 3 do
        coroutine.yield(ask(name .. i))
      end
    end)
  end
  local results = task.parallel({ "a", "b" }, function(name)
    local found = {}
    for value in generator(name) do
      found[#found + 1] = value
    end
    return table.concat(found, " ")
  end)
  eq("a1 a2 a3", results[1])
  eq("b1 b2 b3", results[2])
  eq(2, host.most)
  local co = coroutine.create(function(x) return ask(x) end)
  local ok, value = resume(co, "main")
  assert(ok and value == "main")
end

tests["requests work under pcall and in iterators"] = function(use)
  local task, ask, host = fresh(use)
  newest(host)
  local results = task.parallel({ "a", "b" }, function(name)
    local ok, value = pcall(ask, name)
    for item in function(_, last) return not last and ask(name) or nil end do
      value = value .. item
    end
    return value
  end)
  eq("aa", results[1])
  eq("bb", results[2])
end

tests["a request blocks if C code is on the stack"] = function(use)
  local task, ask = fresh(use)
  local wrap = task.wrap
  local results = task.parallel({ 1, 2, 3 }, function(n)
    local list = { 3, 1, 2 }
    table.sort(list, function(x, y)
      ask("sort")
      return x < y
    end)
    local text = ("ab"):gsub(".", function(c) return wrap(function() return ask(c .. n) end)() end)
    return table.concat(list) .. text
  end)
  eq("123a1b1 123a2b2 123a3b3", table.concat(results, " "))
end

tests["a yield outside a coroutine of the script is an error"] = function(use)
  local task = fresh(use)
  local a = task.spawn(function() coroutine.yield(1) end)
  assert(raises(a.await, a):find("coroutine.yield in a task", 1, true))
end

tests["an answer to an unknown request is an error"] = function(use)
  local task, ask = fresh(use)
  task.connect(function() return 99, {} end)
  assert(raises(ask, "a"):find("unknown request", 1, true))
end

-- The task and number of each request, in the order in which they were made: "task.number".
local function places(use, newest_first)
  local task, _, host = fresh(use)
  if newest_first then newest(host) end
  local seen, open = {}, {}
  task.connect(function()
    local item = table.remove(open, newest_first and #open or 1)
    return item, {}
  end, function() end)
  local function ask()
    task.ask(function(_, _, id, _, number, request)
      open[#open + 1] = id
      seen[#seen + 1] = number .. "." .. request
    end)
  end
  return task, ask, seen
end

tests["each request has its task and number"] = function(use)
  local task, ask, seen = places(use)
  ask()
  task.parallel({ 1, 2 }, function()
    ask()
    local inner = task.spawn(ask)
    ask()
    inner:await()
  end)
  ask()
  eq("0.1 1.1 2.1 1.2 3.1 2.2 4.1 0.2", table.concat(seen, " "))
end

tests["the number of a request depends only on the order of answers"] = function(use)
  local function run(newest_first)
    local task, ask, seen = places(use, newest_first)
    task.race({ ask, function() ask() task.spawn(ask) ask() end, function() ask() ask() end })
    task.finish()
    return table.concat(seen, " ")
  end
  eq(run(false), run(false))
  eq(run(true), run(true))
  assert(run(false) ~= run(true))
end

tests["tasks are canceled in the order in which they were started"] = function(use)
  local task, ask = fresh(use)
  local children, ended = {}, {}
  local parent = task.spawn(function()
    for i = 1, 20 do
      children[i] = task.spawn(ask, "x")
    end
    children[1]:await()
  end)
  task.spawn(function()
    for i = 20, 1, -1 do
      task.spawn(function()
        pcall(children[i].await, children[i])
        ended[#ended + 1] = i
      end)
    end
    task.spawn(function() end):await()
    parent:cancel()
  end)
  task.finish()
  eq("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20", table.concat(ended, " "))
end

tests["of several errors that of the first task is raised"] = function(use)
  for _ = 1, 5 do
    local task = fresh(use)
    for i = 1, 20 do
      task.spawn(function() error("failure " .. i, 0) end)
    end
    eq("failure 1", raises(task.finish))
  end
end

-- The most memory, in kilobytes, that Lua holds during a loop that calls `round`.
local function most_held(round)
  local most = 0
  for i = 1, 60000 do
    round(i)
    if i % 1000 == 0 then most = math.max(most, collectgarbage("count")) end
  end
  return most
end

tests["a loop of tasks uses bounded memory"] = function(use)
  local task = fresh(use)
  local rounds = {
    await = function(i) task.spawn(function() return i end):await() end,
    error = function() pcall(function() task.spawn(function() error("x") end):await() end) end,
    race = function(i) task.race({ function() return i end, function() return 2 end }) end,
    parallel = function() task.parallel({ 1, 2 }, function(x) return x end) end,
  }
  for name, round in pairs(rounds) do
    collectgarbage()
    local before = collectgarbage("count")
    eq(name .. " true", name .. " " .. tostring(most_held(round) < before + 8000))
    local inside = task.spawn(function() return most_held(round) end):await()
    eq(name .. " true", name .. " " .. tostring(inside < before + 8000))
  end
end

tests["ten thousand tasks run concurrently"] = function(use)
  local task, ask, host = fresh(use)
  newest(host)
  local items = {}
  for i = 1, 10000 do
    items[i] = i
  end
  local results = task.parallel(items, function(i)
    ask("x")
    return i
  end, { limit = 10000 })
  eq(10000, #results)
  eq(10000, host.most)
end

return tests
