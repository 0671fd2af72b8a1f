"""Scripts run concurrently with tasks, races, pages, and their own coroutines."""

import time

import pytest
from waiting import scaled

from kosmolua.errors import LimitError, ScriptError


def test_predictions_run_concurrently(flow):
    """Sixteen predictions at once take little longer than one."""
    flow.serve(speed=1)
    began = time.monotonic()
    results = flow("""
      local numbers = {}
      for i = 1, 16 do numbers[i] = i end
      local function one(i) return (run("replicate/hello-world", { text = tostring(i) })) end
      return parallel(numbers, one, { limit = 16 })
    """)

    assert [f"hello {number}" for number in range(1, 17)] == results
    assert time.monotonic() - began < scaled(4 * 0.5)


def test_the_first_error_cancels_the_rest(flow):
    """After an error no further item is started; with `collect` all outcomes are returned."""
    result = flow("""
      local function one(i)
        if i == 2 then error("two", 0) end
        return (run("replicate/hello-world", { text = tostring(i) }))
      end
      local ok, why = pcall(parallel, { 1, 2, 3, 4, 5, 6 }, one, { limit = 2 })
      local all = parallel({ 1, 2, 3 }, one, { on_error = "collect" })
      return { ok, why, all[1].value, all[2].ok, all[2].error, all[3].value }
    """)

    assert [False, "two", "hello 1", False, "two", "hello 3"] == result
    assert flow.server.count("POST", "/predictions") <= 3 + 2


def test_race_returns_the_first_success(flow):
    """The first success wins, and the tasks of the others end."""
    winner = flow("""
      return (race {
        function() sleep(30) return "slow" end,
        function() return (run("replicate/hello-world", { text = "fast" })) end,
        function() error("no") end,
      })
    """)

    assert "hello fast" == winner


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("pcall", "local ok, v = pcall(name) return v", "emulator"),
        ("coroutine", "return coroutine.wrap(function() return name() end)()", "emulator"),
        (
            "iterator",
            "for v in coroutine.wrap(function() coroutine.yield(name()) end) do return v end",
            "emulator",
        ),
        ("sort", "local t = { 2, 1, 3 } table.sort(t, function(a, b) name() return a < b end) return t[1]", 1),
        ("gsub", 'return (("a-b"):gsub("%w", function(c) name() return c:upper() end))', "A-B"),
        ("metamethod", "return (setmetatable({}, { __index = function() return name() end })).x", "emulator"),
        ("nested tasks", "return spawn(function() return spawn(name):await() end):await()", "emulator"),
    ],
)
@pytest.mark.parametrize("isolation", ["standard", "none"])
def test_calls_work_in_every_context(flow, name, source, expected, isolation):
    """Calls work in protected calls, coroutines, iterators, C callbacks and metamethods, in the main chunk and in
    tasks.
    """
    head = "local function name() return replicate.get_account().username end "
    result = flow(
        f"{head} local function one() {source} end return {{ one(), parallel({{ 1, 2, 3 }}, one)[3] }}",
        isolation=isolation,
    )

    assert [expected, expected] == result


def test_every_item_of_every_page(flow):
    """`each` reads pages on demand, up to its limit."""
    flow("""
      parallel((function() local t = {} for i = 1, 120 do t[i] = i end return t end)(), function(i)
        return replicate.create("replicate/hello-world", { text = tostring(i) })
      end, { limit = 32 })
    """)
    flow.server.requests.clear()
    all_of_them, some, pages = flow("""
      local ids, some = {}, 0
      for prediction in each("list_predictions") do ids[prediction.id] = true end
      local count = 0
      for _ in pairs(ids) do count = count + 1 end
      for _ in each("list_predictions", nil, { limit = 7 }) do some = some + 1 end
      return count, some, #ids
    """)

    assert (120, 7, 0) == (all_of_them, some, pages)
    assert 3 == flow.server.count("GET", "/predictions")


def test_invalid_page_links(flow):
    """The word "null" is not a link, and a link to another host is refused."""
    source = 'local n = 0 for _ in each("list_models") do n = n + 1 end return n'
    assert flow.serve("next-null:list_models")(source) >= 7
    flow.close()
    with pytest.raises(ScriptError, match=r"is on another host, 'api.replicate.invalid'"):
        flow.serve("http-next:list_models")(source)


def test_a_sequence_on_an_account_with_little_credit(flow):
    """With a low rate of creates, a sequence of six is slow but complete."""
    flow.serve("throttle:create_model_prediction:per_minute=90:burst=1", speed=1)
    done = flow("""
      local done = {}
      for i = 1, 6 do
        done[i] = run("meta/meta-llama-3-8b-instruct", { prompt = "x", max_tokens = 1 })
      end
      return #done
    """)

    assert 6 == done
    assert 6 == sum(status == 201 for method, _, status in flow.server.requests if method == "POST")
    assert 1 <= sum(status == 429 for _, _, status in flow.server.requests) <= 5


def test_too_many_requests_at_once(flow):
    """A script with endless concurrent requests is ended with an error."""
    with pytest.raises((ScriptError, LimitError), match=r"requests|asks"):
        flow("""
          for i = 1, 20000 do spawn(function() sleep(100) end) end
          sleep(0.1)
        """)


def test_waiting_takes_no_thread(flow):
    """A thousand sleeping tasks need no threads, because they are entries in a list."""
    import threading

    most = flow("""
      local n = 0
      for i = 1, 1000 do spawn(function() sleep(0.2) n = n + 1 end) end
      while n < 1000 do sleep(0.01) end
      return n
    """)

    assert 1000 == most
    assert threading.active_count() < 30


def test_creates_of_a_lost_race_are_canceled(flow):
    """`cancel_all` finds the create of a task that has ended."""
    canceled = flow("""
      race {
        function() return (run("minimax/video-01", { prompt = "a river" }, { wait = 20 })) end,
        function() sleep(1) return "fast" end, -- when the other's create is held by the server
      }
      local canceled = replicate.cancel_all()
      return { #canceled, canceled[1].status }
    """)

    assert [1, "canceled"] == canceled
