-- Tasks: concurrency in one script. A task is a coroutine that yields while it waits for the host or for another task.
-- The script's main chunk is not a task; while it waits, the tasks run. The host executes requests concurrently and
-- answers in any order.

local use = ...
local values, failures = use("values"), use("failures")
local guard = use("guard") -- in a shared process it guards every coroutine and every pcall

local M = {}

local error, ipairs, next, select, setmetatable, tostring, type = error, ipairs, next, select, setmetatable, tostring,
  type
local running, status, yield, isyieldable = coroutine.running, coroutine.status, coroutine.yield, coroutine.isyieldable
local format, floor, min = string.format, math.floor, math.min
local metatable_of, rawget = debug.getmetatable, rawget
local unpack = table.unpack or unpack

local collectgarbage = collectgarbage

local DEFAULT_LIMIT = 8
-- With many tasks, the collector's default pause of 200 % would let 10,000 waiting predictions reach the memory limit.
-- Measured: a peak of 106 MB instead of 136 MB, for the same CPU time.
local CROWD, PAUSE = 1000, 140
local PARALLEL = { limit = true, on_error = true } -- the options of `parallel`
local SUSPEND = {} -- what a coroutine yields when it waits, unlike a yield of the script
local BLOCKED, NOTHING = {}, { count = 0 } -- a caller that cannot yield; no arguments

local receive -- returns the id and the answer of a request; its argument says whether nothing else can run
local forsake -- called with the id of a canceled task's request, whose answer is no longer needed
local current -- the task that runs; nil in the main chunk
local living -- how many tasks have not ended
local unseen -- failed tasks whose error nobody has awaited
local last_id, outstanding = 0, 0 -- an id is never used twice
local was_alone
local main, spawned -- the main chunk's counters; the number of tasks so far
local waiting -- id -> the task that waits for its answer, or BLOCKED
local found -- id -> the answer to a request that blocks its caller
local ready, first, last -- tasks to resume, in order
local held = setmetatable({}, { __mode = "k" }) -- coroutines that wait for an answer; scripts cannot resume them

--- Connect to the host and reset: `source(alone)` blocks until there is an answer, and returns the request's id and the
--- answer; `cancel(id)` is called for a request whose task was canceled.
function M.connect(source, cancel)
  receive, forsake, current, living, unseen, outstanding = source, cancel, nil, 0, {}, 0
  main, spawned = { number = 0, asked = 0 }, 0
  waiting, found, ready, first, last = {}, {}, {}, 1, 0
end

--- Whether a task or a blocked caller still waits for the answer to that request.
function M.awaits(id) return waiting[id] ~= nil end

-- Turns --------------------------------------------------------------------------------------------------------

-- This function and `ask` create no closures or tables: LuaJIT does not compile code that creates closures, and with
-- thousands of tasks the allocations would be half of the CPU time.
local function enqueue(task, answer)
  task.answer = answer
  last = last + 1
  ready[last] = task
end

-- Settle a task, or another awaited object, with its result.
local function settle(task, ok, ...)
  task.state = ok and "done" or "failed"
  task.count, task.values = select("#", ...), { ... }
  for _, waiter in ipairs(task.waiters) do
    enqueue(waiter)
  end
end

local function finish_task(task, ok, ...)
  living = living - 1
  settle(task, ok, ...)
  if not ok and #task.waiters == 0 and not task.watched then unseen[task] = true end
end

local function turn_over(before, task, ok, ...)
  current = before
  if task.state ~= "running" then return end -- canceled when its turn comes
  if not ok then return finish_task(task, false, failures.placed((...), task.co)) end
  if status(task.co) == "dead" then return finish_task(task, true, ...) end
  if (...) ~= SUSPEND then
    finish_task(task, false, "coroutine.yield in a task, outside any coroutine of the script")
  end
end

local function continue(task)
  if task.state ~= "running" then return end
  local before, answer, given = current, task.answer, task.given
  current = task
  if given then
    task.given = nil
    return turn_over(before, task, guard.resume(task.co, unpack(given, 1, given.count)))
  end
  task.answer = nil
  return turn_over(before, task, guard.resume(task.co, answer))
end

local function take_answer()
  local id, answer = receive(was_alone)
  local task = waiting[id]
  if not task then error("the host answered an unknown request", 0) end
  waiting[id] = nil
  outstanding = outstanding - 1
  if task == BLOCKED then
    found[id] = answer
  else
    task.request = nil
    enqueue(task, answer)
  end
end

-- Resume one task, or wait for one answer. Returns false if there is nothing to wait for.
local function step()
  if first > last then
    if outstanding == 0 then return false end
    take_answer()
    return true
  end
  local task = ready[first]
  ready[first] = nil
  first = first + 1
  if first > last then
    first, last = 1, 0
  end
  continue(task)
  return true
end

local function step_on()
  if not step() then error("deadlock: the tasks wait only for each other", 0) end
end

-- Waiting ------------------------------------------------------------------------------------------------------

-- Whether the running code can yield: it is in a task, with no C function in between.
local function can_suspend() return current ~= nil and isyieldable() end

--- Make a request and wait for its answer. `send(head, tail, id, alone, task, number)` sends it. `alone` means that
--- nothing else can run in the meantime, so the host may use a faster path. `task` (0 for the main chunk) and `number`
--- (of the request in it) are the same in every run that gets the same answers in the same order.
function M.ask(send, head, tail)
  last_id = last_id + 1
  local id, asking = last_id, current or main
  asking.asked = asking.asked + 1
  was_alone = living == 0 and outstanding == 0
  send(head, tail, id, was_alone, asking.number, asking.asked)
  outstanding = outstanding + 1
  if can_suspend() then
    waiting[id], asking.request = current, id
    return yield(SUSPEND)
  end
  waiting[id] = BLOCKED
  while found[id] == nil do
    step_on()
  end
  local answer = found[id]
  found[id] = nil
  return answer
end

local function wait_for(task)
  if task.state ~= "running" then return end
  if can_suspend() then
    task.waiters[#task.waiters + 1] = current
    yield(SUSPEND)
  else
    task.watched = true
    while task.state == "running" do
      step_on()
    end
  end
end

local function expect(name, what, wanted, value)
  if type(value) ~= wanted then
    error(format("%s: expected %s, got %s", name, what, values.kind(value)), 3)
  end
end

-- A script's own coroutines -----------------------------------------------------------------------------------

local function going_on(co, ...)
  held[co] = nil
  return guard.resume(co, ...)
end

-- The result of resuming a coroutine. A coroutine that waits does not seem to yield: its resumer waits with it.
local function passing(co, ok, value, ...)
  if not ok or value ~= SUSPEND then return ok, value, ... end
  held[co] = true
  return passing(co, going_on(co, yield(SUSPEND)))
end

local function restored(task, ...)
  current = task
  return ...
end

local function unwrapped(co, ok, ...)
  if not ok then error(failures.placed((...), co), 0) end
  return ...
end

--- `coroutine.resume` for scripts. A request inside a script's coroutine suspends its task. If C resumed the coroutine,
--- the request blocks instead.
function M.resume(co, ...)
  expect("coroutine.resume", "a coroutine", "thread", co)
  if held[co] then return false, "cannot resume a coroutine that is waiting, or a task" end
  if current == nil or isyieldable() then return passing(co, guard.resume(co, ...)) end
  local task = current
  current = nil
  return restored(task, guard.resume(co, ...))
end

-- The main chunk runs in a coroutine of the host, but the functions below hide that from the script.

--- `coroutine.yield` for scripts.
function M.yield(...)
  if running() == failures.main() then error("attempt to yield across C-call boundary", 2) end
  return yield(...)
end

--- `coroutine.running` for scripts.
function M.running()
  local co = running()
  if co ~= failures.main() then return co end
end

--- `coroutine.isyieldable` for scripts.
function M.isyieldable() return running() ~= failures.main() and isyieldable() end

--- `coroutine.wrap` for scripts.
function M.wrap(f)
  expect("coroutine.wrap", "a function", "function", f)
  local co = guard.create(f)
  return function(...) return unwrapped(co, M.resume(co, ...)) end
end

-- Tasks --------------------------------------------------------------------------------------------------------

local methods = {}
local TASK = {} -- the key of the task in the metatable of a script's handle

local function handle() return { state = "running", waiters = {}, children = {}, room = 16 } end

-- The task is in the metatable and not in a table with weak keys, whose values survive one more collection: a loop that
-- starts tasks would use more and more memory.
local function shown_of(task) return setmetatable({}, { __index = methods, __metatable = false, [TASK] = task }) end

-- Adds a child to its parent. Each time that the list of children has doubled, children that have ended are removed.
local function add_child(parent, child)
  local children = parent.children
  if #children >= parent.room then
    local running = {}
    for _, each in ipairs(children) do
      if each.state == "running" then running[#running + 1] = each end
    end
    parent.room = 16 + 2 * #running
    children = running
    parent.children = children
  end
  children[#children + 1] = child
end

local function start(f, ...)
  local task = handle()
  spawned = spawned + 1
  task.number, task.asked = spawned, 0
  task.co = guard.create(f)
  held[task.co] = true
  if current then add_child(current, task) end
  living = living + 1
  if living == CROWD then collectgarbage("setpause", PAUSE) end
  local count = select("#", ...)
  task.given = count == 0 and NOTHING or { count = count, ... }
  enqueue(task)
  return task
end

--- Start a task that calls `f(...)`, and return its handle. It begins when the caller first waits.
function M.spawn(f, ...)
  expect("spawn", "a function", "function", f)
  return shown_of(start(f, ...))
end

local function cancel(task)
  if task.state ~= "running" then return false end
  settle(task, false, failures.made({ code = "canceled", message = "the task was canceled" }))
  task.state = "canceled"
  living = living - 1
  if task.request then forsake(task.request) end
  for _, child in ipairs(task.children) do
    cancel(child)
  end
  if task == current then yield(SUSPEND) end -- never resumed
  return true
end

local function outcome(task)
  unseen[task] = nil
  if task.state ~= "done" then error(task.values[1], 0) end
  return unpack(task.values, 1, task.count)
end

local function task_of(shown, method)
  local meta = type(shown) == "table" and metatable_of(shown)
  local task = meta and rawget(meta, TASK)
  if not task then error(format("task:%s: expected a task, as spawn returns it, got %s", method, values.kind(shown)), 0) end
  return task
end

--- Wait until the task has ended. Returns what its function returned, or raises its error.
function methods.await(shown)
  local task = task_of(shown, "await")
  if task == current then error("a task cannot wait for itself", 0) end
  wait_for(task)
  return outcome(task)
end

--- End the task and the tasks that it started, at their next wait. Requests that they have made are still executed.
--- Returns whether any task was ended.
function methods.cancel(shown) return cancel(task_of(shown, "cancel")) end

--- "running", "done", "failed" or "canceled".
function methods.status(shown) return task_of(shown, "status").state end

--- The number of requests in flight.
function M.busy() return outstanding end

--- Start `f()` as a task without a parent, and return a function that waits for it. Each call of that function returns
--- what `f` returned, or raises its error.
function M.shared(f)
  local before = current
  current = nil
  local task = start(f)
  current, task.watched = before, true
  return function()
    wait_for(task)
    return outcome(task)
  end
end

--- Wait until all tasks have ended, and return the arguments. Raises the error of a failed task that nobody awaited.
function M.finish(...)
  while living > 0 do
    step_on()
  end
  local first_failed
  for task in next, unseen do
    if not first_failed or task.number < first_failed.number then first_failed = task end
  end
  if first_failed then error(first_failed.values[1], 0) end
  return ...
end

-- Several at once ----------------------------------------------------------------------------------------------

local function spawn_all(count, f)
  local tasks = {}
  for i = 1, count do
    tasks[i] = start(f, i)
  end
  return tasks
end

-- Wait until the tasks have settled a result, then end the tasks that are still running.
local function join(goal, tasks)
  wait_for(goal)
  for _, task in ipairs(tasks) do
    cancel(task)
  end
  return outcome(goal)
end

local function workers(options, count)
  local limit = options.limit or DEFAULT_LIMIT
  if type(limit) ~= "number" or not (limit >= 1) then
    error("parallel: expected a limit of 1 or more, got " .. values.amount(limit), 3)
  end
  return min(floor(limit), count)
end

--- Call `f(item, index)` for each item, at most `options.limit` (8) at once. Returns the results in the order of the
--- items. The first error ends the rest and is raised; with `on_error = "collect"` each result is
--- `{ ok = true, value = … }` or `{ ok = false, error = … }` instead.
function M.parallel(items, f, options)
  local function call(index) return f(items[index], index) end
  expect("parallel", "a list", "table", items)
  expect("parallel", "a function after the list", "function", f)
  options = options == nil and {} or options
  expect("parallel", "a table of options, as in { limit = 4 }", "table", options)
  for option in next, options do
    if not PARALLEL[option] then
      error(format("parallel: unknown option `%s`; expected limit, on_error", values.scrub(tostring(option))), 2)
    end
  end
  if options.on_error ~= nil and options.on_error ~= "collect" and options.on_error ~= "raise" then
    local mode = options.on_error
    local shown = type(mode) == "string" and format("%q", values.scrub(mode)) or values.kind(mode)
    error(format('parallel: expected "raise" or "collect" as `on_error`, got %s', shown), 2)
  end
  local collect, count = options.on_error == "collect", #items
  local results, goal, taken, left = {}, handle(), 0, count
  local stopped -- the error of the first item that a dry run stopped; other items continue to their own requests
  local function take_one(index, ok, value)
    left = left - 1
    if collect then
      results[index] = ok and { ok = true, value = value } or { ok = false, error = value }
    elseif ok then
      results[index] = value
    elseif type(value) == "table" and rawget(value, "code") == "dry_run" then
      stopped = stopped or value
    elseif goal.state == "running" then
      settle(goal, false, value)
    end
    if left == 0 and goal.state == "running" then settle(goal, not stopped, stopped or results) end
  end
  local function work()
    while taken < count and goal.state == "running" do
      taken = taken + 1
      local index = taken
      take_one(index, guard.pcall(call, index))
    end
  end
  if count == 0 and next(items) ~= nil then error("parallel: expected a list, got a table with named keys", 2) end
  if count == 0 then return results end
  return join(goal, spawn_all(workers(options, count), work))
end

--- Call the functions concurrently. Returns the result of the first that succeeds, and ends the others. If all fail,
--- raises the error of the last.
function M.race(functions)
  expect("race", "a list of functions", "table", functions)
  for _, f in ipairs(functions) do
    expect("race", "a list of functions", "function", f)
  end
  local goal, left = handle(), #functions
  if left == 0 then error("race: expected a list of functions, got none", 2) end
  local function take(ok, ...)
    left = left - 1
    if goal.state == "running" and (ok or left == 0) then settle(goal, ok, ...) end
  end
  return join(goal, spawn_all(left, function(i) take(guard.pcall(functions[i])) end))
end

return M
