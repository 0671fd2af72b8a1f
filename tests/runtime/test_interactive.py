"""A state accepts one input after another: what persists, what an interrupt ends, and what is lost."""

import os
import signal
import threading
import time

import pytest
from confined import gone
from waiting import let_pass, scaled, wait_until

from kosmolua.errors import LimitError
from kosmolua.runtime.interactive import Interpreter, start
from kosmolua.runtime.isolate import Child
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.run import Script, run

FUNCTIONS = [("echo",), ("fail",), ("slow",), ("spend",)]


@pytest.fixture
def release():
    """Let the calls of `slow` continue."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def state(host, release):
    def handler(function, account, arguments):
        if function == "slow":
            host.calls.append((function, account, None))
            release.wait(20)
            return {}
        if function == "spend":
            raise LimitError("the run reached its budget of 1 calls")
        return host(function, account, arguments)

    made = Interpreter(handler, host, lambda: start(FUNCTIONS), grace=scaled(1.5))
    yield made
    made.close()


@pytest.fixture
def interrupted(state):
    """Evaluate an input, and interrupt it once it is running."""

    def evaluate(source, after=0.2):
        interrupts = []

        def interrupt():
            wait_until(lambda: state._busy)
            let_pass(after)
            interrupts.append(time.monotonic())
            state.interrupt()

        thread = threading.Thread(target=interrupt)
        thread.start()
        found = state.evaluate(source)
        ended = time.monotonic()
        thread.join()
        return found, ended - interrupts[0]

    return evaluate


def values(state, *sources):
    """The values returned by the last input."""
    for source in sources:
        found = state.evaluate(source)
        assert found.error is None, found.error
    return found.values


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["1 + 1"], [2]),
        (["1, 'two', nil, true"], [1, b"two", None, True]),
        (["x = 5", "x"], [5]),
        (["local x = 5", "x"], [5]),
        (["local x = 5 -- a comment", "x"], [5]),
        (["local a, b = 1, 2 local c = 3", "a, b, c"], [1, 2, 3]),
        (["local function f() return 7 end", "f()"], [7]),
        (["local n = 0 local function up() n = n + 1 end", "up() up()", "n"], [2]),
        (["local n = 0 local function up() n = n + 1 end", "n = 10", "up()", "n"], [11]),
        (["local x = 1 local function old() return x end", "local x = 2", "old(), x"], [1, 2]),
        (["local x = 1", "local x = x + 1", "local x = x + 1", "x"], [3]),
        (["x = 'global'", "local x = 'local'", "x, _G.x"], [b"local", b"global"]),
        (["do local hidden = 1 end for i = 1, 2 do local inner = i end", "hidden, i, inner"], [None, None, None]),
        (["local a = 1 return a", "a"], [1]),
        (["local a = 1 return (function() return a end)()", "a"], [1]),
        (["local a = 1\nreturn a -- return nothing", "a"], [1]),
        (["local a = 'return' return a", "a"], [b"return"]),
        (["local a = [[\nreturn 1]]", "a"], [b"return 1"]),
        (["goto over local skipped = 1 ::over::", "skipped"], [None]),
        (["local a = 1 if a then return 'early' end local b = 2", "a, b"], [None, None]),
        (["local _keep, _keep_ = 1, 2", "_keep + _keep_"], [3]),
        (["local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end)", "co()", "co()"], [2]),
        (["local _, second = 1, 2", "'last'", "_, second"], [b"last", 2]),
        (["'one'", "'two'", "_1, _2, _"], [b"one", b"two", b"two"]),
        (["'one'", "x = 1", "_"], [b"one"]),
        (["local a = 1\na + 1"], [2]),
        (["local a = { 1 }; a[1]", "a[1]"], [1]),
        (["local a = 1\nlocal function f() return a end\n\nf()  \n", "a"], [1]),
        (["return"], []),
        ([""], []),
        (["local " + ", ".join(f"v{n}" for n in range(150)) + " = " + ", ".join(map(str, range(150))), "v0 + v149"],
         [149]),
    ],
)  # fmt: skip
def test_locals_and_globals_persist_between_inputs(state, sources, expected):
    """Inputs work like one long chunk: top-level locals persist, and closures share them."""
    assert expected == values(state, *sources)


def test_more_than_200_locals(state):
    """Lua's limit of 200 locals applies to each input, not to all inputs together."""
    for number in range(300):
        values(state, f"local v{number} = {number}")

    assert [299] == values(state, "v299")


def test_an_error_keeps_the_state(state):
    """The error names the line in its input; assigned globals persist, but the input's own locals do not."""
    values(state, "local kept = 1")
    found = state.evaluate("a = 1\nlocal lost = 2\nerror('wrong')")

    assert ("wrong", "in[2]:3", False) == (found.error.message, found.error.where, found.lost)
    assert [1, None, 1] == values(state, "a, lost, kept")


@pytest.mark.parametrize(
    ("source", "where"),
    [("x.y", "in[1]:1"), ("x.y -- a comment", "in[1]:2"), ("1 +\nx.y", "in[1]:2")],
)
def test_a_failing_expression_names_its_line(state, source, where):
    """The code added around an expression does not move the line of its error, unless a comment ends the expression."""
    found = state.evaluate(source)

    assert ("attempt to index global 'x' (a nil value)", where) == (found.error.message, found.error.where)


@pytest.mark.parametrize(
    ("source", "message", "where"),
    [
        ("x = = 1", "unexpected symbol near '='", "in[1]:1"),
        ("x = 1\nend", "'<eof>' expected near 'end'", "in[1]:2"),
        ("end; print(1); return function() ", "'<eof>' expected near 'end'", "in[1]:1"),
        ("break", "no loop to break", "in[1]:1"),
    ],
)
def test_a_syntax_error(state, source, message, where):
    """The message is that of the parser for the text as typed."""
    found = state.evaluate(source)

    assert ("syntax_error", message, where) == (found.error.code, found.error.message, found.error.where)


def test_calls_and_output(state, host):
    """An input calls its host and prints like a script, and API errors have their codes."""
    assert [["table", False, 1, [b"ok", True]]] == values(state, "print('said') return integrations.replicate.echo{}")
    assert b"said\n" == host.printed
    assert "not_found" == state.evaluate("integrations.replicate.fail{}").error.code


@pytest.mark.parametrize(
    "source",
    [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local function f() return f() end f()",
        "coroutine.wrap(function() while true do end end)()",
        "setmetatable({}, { __index = function() while true do end end }).x = ({})[1]; repeat until false",
        "sleep(1000)",
        "parallel({ 1, 2, 3 }, function() sleep(1000) end)",
        "while true do pcall(sleep, 1000) end",
        "while true do pcall(integrations.replicate.slow, {}) end",
        "repeat local ok = pcall(integrations.replicate.echo, {}) until not ok; while true do end",
    ],
)
def test_an_interrupt_keeps_the_state(state, interrupted, source):
    """Whether Lua computes, sleeps or waits for its host, the prompt returns at once with its state."""
    values(state, "local kept = 'here'")

    found, took = interrupted(source)

    assert ("interrupted", False) == (found.error.code, found.lost)
    assert took < scaled(1.2)
    assert [b"here"] == values(state, "kept")


def test_an_interrupted_call_completes(state, interrupted, host, release):
    """A request that was sent may cost money, so it is completed; its late answer reaches no later input."""
    found, _ = interrupted("integrations.replicate.slow{}")
    assert "interrupted" == found.error.code
    threading.Timer(0.1, release.set).start()

    assert [["table", False, 1, [b"ok", True]]] == values(state, "sleep(0.3) return integrations.replicate.echo{}")
    assert ["slow", "echo"] == [name for name, _, _ in host.calls]


def test_an_interrupted_input_starts_no_call(state, interrupted, host):
    """Calls after the interrupt are refused."""
    interrupted("pcall(sleep, 1000) pcall(integrations.replicate.echo, {})")

    assert [] == host.calls


def test_an_interrupt_inside_c_code(state, interrupted):
    """A process that does not react is ended after a grace period, and the loss of its state is reported."""
    values(state, "local kept = 1")
    stopping = threading.Timer(0.1, lambda: os.kill(state._child.pid, signal.SIGSTOP))
    stopping.start()

    found, took = interrupted("while true do end")
    stopping.join()

    assert ("interrupted", True) == (found.error.code, found.lost)
    assert 1.4 < took < scaled(5)
    assert [None] == values(state, "kept")


def test_an_interrupt_between_inputs_is_ignored(state):
    """Such an interrupt does not affect the next input."""
    values(state, "x = 1")
    state.interrupt()
    wait_until(lambda: not any(isinstance(thread, threading.Timer) for thread in threading.enumerate()))

    assert [1] == values(state, "x")


def test_a_budget_ends_only_the_input(state):
    """A budget limit is an ordinary error here: the state is kept, and the budget can be raised."""
    values(state, "x = 1")

    assert "limit_reached" == state.evaluate("integrations.replicate.spend{}").error.code
    assert [1] == values(state, "x")


def test_an_input_that_runs_out_of_memory(state):
    """The input fails with the limit's message, and its memory is freed."""
    found = state.evaluate("local t = {} while true do t[#t + 1] = ('x'):rep(1e6) .. #t end")

    assert "the script reached its memory limit of 128 MiB" == found.error.message
    assert [2] == values(state, "1 + 1")


def test_a_child_that_dies(state):
    """The next input reports the death, and the input after that has a new state."""
    values(state, "x = 1")
    os.kill(state._child.pid, signal.SIGKILL)

    found = state.evaluate("x")
    assert ("script_crashed", True) == (found.error.code, found.lost)
    assert [None] == values(state, "x")


def test_queries_after_the_child_died_return_nothing(state):
    """Completion returns nothing, and the next input reports the death."""
    values(state, "x = 1")
    os.kill(state._child.pid, signal.SIGKILL)
    assert gone(state._child.pid)

    assert [] == state.names()
    assert state.evaluate("x").lost
    assert [None] == values(state, "x")


def test_a_reset_continues_the_count(state):
    """The new state continues the count of inputs."""
    values(state, "x = 1")
    state.reset()

    assert [None] == values(state, "x")
    assert 2 == state.number


def test_names_for_completion(state):
    """The names in scope and the fields of a value are listed with their types, by raw access only."""
    values(state, "local mine = { a = 1, ['not a name'] = 2, [3] = 3, deep = { f = print } }")
    values(state, "trap = setmetatable({}, { __index = function() error('called') end })")

    names = dict(state.names())
    assert ("local", "table", "function", "table") == tuple(
        names[name] for name in ("mine", "trap", "print", "integrations")
    )
    assert [("a", "number"), ("deep", "table")] == sorted(state.names("mine"))
    assert [("f", "function")] == state.names("mine", "deep")
    assert ("echo", "function") in state.names("integrations", "replicate")
    assert [] == state.names("trap", "x", "y")
    assert [] == state.names("nowhere", "at", "all")
    values(state, "text = 'x'")
    assert ("rep", "function") in state.names("text")


def test_the_message_of_the_parser(state):
    """The parser reports on an expression or on a chunk; None means valid."""
    expression, chunk = state.check("x = {")

    assert "'<eof>' expected near '='" in expression
    assert chunk.endswith("near '<eof>'")
    assert (None, None) == state.check("f()")


def test_a_script_cannot_reach_the_function_that_passes_locals(state):
    """The source cannot contain the name of the function that passes locals."""
    assert [b"nil"] == values(state, "local a = 1 return type(_keep)")
    assert [b"nil"] == values(state, "local a = 1 return type(_keep_)")


def test_a_preview_is_small_and_in_order(state):
    """Of any value only the beginning is transferred: sorted names, with full counts and lengths."""
    values(state, "big = {} for i = 1, 50000 do big[i] = i; big[('k%06d'):format(50000 - i)] = i end")
    ((kind, is_list, count, items),) = values(state, "big")
    assert ("table", False, 100000, 200) == (kind, is_list, count, len(items))
    assert [1, 1, 2, 2] == items[:4]

    values(state, "big = {} for i = 1, 50000 do big[('k%06d'):format(50000 - i)] = i end")
    ((_, _, _, items),) = values(state, "big")
    assert [f"k{n:06d}".encode() for n in range(100)] == items[::2]

    ((kind, text, length),) = values(state, "('x'):rep(1e6)")
    assert ("text", 1_000_000, True) == (kind, length, len(text) < 100_000)


def test_a_preview_of_values_that_are_not_plain_data(state):
    """The preview shows functions with their place, cycles, null, infinity, and a value's own text."""
    values(state, "function f() end loop = {} loop.self = loop")
    shown = values(
        state,
        "f, print, loop, json.null, 1/0, json.array{}, {},"
        " setmetatable({}, { __tostring = function() return 'me' end })",
    )

    assert [
        ["other", b"function (in[1]:1)"],
        ["other", b"function"],
        ["table", False, 1, [b"self", ["other", "{ … itself }".encode()]]],
        ["other", b"null"],
        ["other", b"inf"],
        ["table", True, 0, []],
        ["table", False, 0, []],
        ["other", b"me"],
    ] == shown


def test_the_interactive_child_is_confined_like_any_other(state):
    """The interactive child has the same layers as the child of a script."""
    values(state, "1")
    child = Child(Limits())
    run(Script(source=b"return 1", name="x"), None, None, child=child)
    assert child.layers == state.layers
