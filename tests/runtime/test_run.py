"""A script's environment and the host's results are the same in a child and in this process."""

import threading
import time

import msgspec
import pytest
from waiting import scaled

from kosmolua.errors import ApiError, LimitError
from kosmolua.runtime import marshal
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.port import Port
from kosmolua.runtime.run import Script, run


class StillClock:
    """A clock that advances only during sleeps."""

    def __init__(self):
        self.now = 1_700_000_000.25

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_returned_values_are_in_order(lua):
    """All returned values are results, including nil."""
    result = lua('return 1, "two", nil, { 3 }, { four = 4 }, {}, json.array{}, true')

    assert [1, "two", None, [3], {"four": 4}, {}, [], True] == result.results
    assert result.error is None


def test_output_is_in_order(lua, host):
    """`print` joins values with tabs and ends the line; `log` is separate; `dump` shows tables."""
    lua('print("a", 1, nil, true) log("to the log") dump({ 1, x = "y" }) print()')

    assert b'a\t1\tnil\ttrue\n{ 1, x = "y" }\n\n' == host.printed
    assert b"to the log\n" == host.logged


def test_print_streams(lua, host):
    """A printed line reaches the host before the script continues."""
    seen = []
    host.answers["echo"] = {}
    original = host.__class__.__call__

    def handler(*args):
        seen.append(host.printed)
        return original(host, *args)

    run(
        Script(source=b"print('one') integrations.replicate.echo{} print('two')", name="x", functions=[("echo",)]),
        handler,
        host,
    )

    assert [b"one\n"] == seen
    assert b"one\ntwo\n" == host.printed


@pytest.mark.parametrize(
    "path",
    [
        "integrations.replicate.echo",
        "integrations.replicate.replicate_echo",
        "integrations.replicate['echo.get']",
        "integrations.replicate.default.echo",
        "app.integrations.replicate.echo",
        "app.integrations.replicate.default.replicate_echo",
    ],
)
def test_every_name_reaches_the_same_function(lua, host, path):
    """Short, prefixed and API names call the same function, with and without `app` and `default`."""
    result = lua(f"return {path}{{ a = 1 }}")

    assert [{"ok": True}] == result.results
    assert [("echo", "", {"a": 1})] == host.calls


def test_named_accounts(lua, host):
    """`integrations.replicate.work` calls with the account work."""
    lua("integrations.replicate.work.echo{}", accounts=["work"])

    assert [("echo", "work", {})] == host.calls


def test_arguments_are_sent_unchanged(lua, host):
    """Numbers, text, nested lists and objects, marked tables and nulls reach the host unchanged."""
    lua("""integrations.replicate.echo{
      whole = 7, large = 2^53, fraction = 0.5, text = "é\\0x", no = false, list = { 1, { 2 } }, empty = {},
      none = json.array{}, hole = { 1, json.null, 3 }, object = json.object{ "a" },
    }""")

    ((_, _, arguments),) = host.calls
    assert {
        "whole": 7, "large": 2**53, "fraction": 0.5, "text": "é\0x", "no": False, "list": [1, [2]], "empty": {},
        "none": [], "hole": [1, None, 3], "object": {"1": "a"},
    } == arguments  # fmt: skip


def test_answers_are_converted_as_documented(lua, host):
    """A null field is absent, a null item is json.null, a large integer is text, and an empty list remains a list."""
    host.answers["echo"] = {
        "error": None, "list": [], "map": {}, "items": [1, None], "big": 2**53 + 1, "huge": 2**80, "text": "\u2028é",
        "bytes": b"\xff\x00",
    }  # fmt: skip
    result = lua("""
      local v = integrations.replicate.echo{}
      assert(v.error == nil and v.items[2] == json.null and #v.items == 2)
      assert(v.bytes == "\\255\\0")
      v.bytes = nil
      return v
    """)

    assert [
        {"list": [], "map": {}, "items": [1, None], "big": str(2**53 + 1), "huge": str(2**80), "text": "\u2028é"}
    ] == result.results


def test_a_large_page_is_unchanged(lua, host):
    """Two megabytes of list cross in both directions unchanged."""
    page = {"next": None, "results": [{"id": f"id{i}", "text": "x" * 150, "n": i, "f": i / 7} for i in range(10_000)]}
    host.answers["echo"] = page

    result = lua("local p = integrations.replicate.echo{} assert(#p.results == 10000) return p.results")

    assert page["results"] == result.results[0]


def test_errors_are_tables_with_a_message(lua):
    """A failed call raises a table with code, status and hint; converted to text it is the message."""
    result = lua("""
      local ok, e = pcall(integrations.replicate.fail, {})
      return ok, tostring(e), "because " .. e, e .. "!", e.code, e.status, e.hint, e["function"], type(e)
    """)

    message = "fail: 404 Not Found: no such thing"
    assert [
        False, message, f"because {message}", f"{message}!", "not_found", 404, "look again", None, "table",
    ] == result.results  # fmt: skip


def test_an_uncaught_call_error_keeps_its_code(lua):
    """The run ends with the host's error, which names the script's line."""
    result = lua("local function go()\n  local p = integrations.replicate.fail{}\n  return p\nend\nlocal x = go()")

    assert "not_found" == result.error.code
    assert 404 == result.error.status
    assert "flow.lua:2" == result.error.where
    assert "flow.lua:2 in 'go'\nflow.lua:5 in main chunk" == result.error.traceback


@pytest.mark.parametrize(
    ("source", "code", "message", "where"),
    [
        ("local x =\n= 1", "syntax_error", "unexpected symbol near '='", "flow.lua:2"),
        ("\n\nerror('boom')", "script_error", "boom", "flow.lua:3"),
        ("error({ message = 'as a table' })", "script_error", "as a table", "flow.lua:1"),
        ("local x = nil + 1", "script_error", "attempt to perform arithmetic on a nil value", "flow.lua:1"),
        ("error()", "script_error", "nil", "flow.lua:1"),
        ("return print", "script_error", "cannot return this value: a function cannot leave the script", None),
        (
            "local t = {} t.t = t return t", "script_error",
            "cannot return this value: table contains itself - at `result[1].t`", None,
        ),
        (
            "return { a = '\\255' }", "script_error",
            "cannot return this value: string is not UTF-8 - at `result[1].a`", None,
        ),
        (
            "local r = integrations.replicate.echo{ input = { images = { 1, a = 2 } } }", "invalid_arguments",
            "echo: table mixes list and named keys - at `input.images`", "flow.lua:1",
        ),
        (
            "local r = integrations.replicate.echo(1)", "invalid_arguments",
            "echo: expected one table of named arguments, as in echo{...}, got a number", "flow.lua:1",
        ),
        (
            "local r = integrations.replicate.echo({}, 1)", "invalid_arguments",
            "echo: expected one table of named arguments, as in echo{...}, got several values",
            "flow.lua:1",
        ),
        (
            "local r = integrations.replicate.echo{ 'x' }", "invalid_arguments",
            "echo: expected named arguments, got a list", "flow.lua:1",
        ),
        (
            "local f = integrations.replicate.ecko", "unknown_function",
            "no function is called 'ecko'", "flow.lua:1",
        ),
        (
            "local f = integrations.github", "unknown_function",
            'unknown integration "github"; available: replicate', "flow.lua:1",
        ),
        ("error({ step = 3, why = 'late' })", "script_error", '{ step = 3, why = "late" }', "flow.lua:1"),
        (
            "sleep('x')", "invalid_arguments",
            "sleep: expected seconds, zero or more, got a string", "flow.lua:1",
        ),
        ("sleep(-1)", "invalid_arguments", "sleep: expected seconds, zero or more, got -1", "flow.lua:1"),
    ],
)  # fmt: skip
def test_failures_have_a_message_and_a_line(lua, source, code, message, where):
    """Each failure has a message, a code and the script's line."""
    error = lua(source).error

    assert (code, message, where) == (error.code, error.message, error.where)


@pytest.mark.parametrize(
    ("accounts", "hint"),
    [
        ([], "see them all; add an account: kosmo integrations:configure replicate --account NAME"),
        (["home", "work"], "see them all; accounts: home, work"),
    ],
)
def test_an_unknown_account(lua, accounts, hint):
    """An unknown function may be meant as an account: the error lists the accounts, or says how to add one."""
    error = lua("integrations.replicate.wrok.echo{}", accounts=accounts).error

    assert ("unknown_function", hint) == (error.code, error.hint)


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("prnt(1)", "unknown name prnt; did you mean print?"),
        ("paralell({}, print)", "unknown name paralell; did you mean parallel?"),
        ("images = {} imgaes[1] = 2", "unknown name imgaes; did you mean images?"),
        ("banana()", None),
        ("console.log(1)", "write print(…), or log(…) for standard error"),
        ("print(len({}))", "write #list or #text"),
        ("local a = f'x'", "Lua has no f-strings"),
        ("f(1)", None),
        ("try {}", "write local ok, err = pcall(function() … end)"),
        ("local s = 'x' print(s:trim())", "write text:match('^%s*(.-)%s*$')"),
        ("echo {}", "write replicate.echo"),
        ("local prnt prnt()", None),
        ("io.popen('x')", "scripts cannot use processes, and files only by file(path):read(), write_file(path, text)"),
        ("os.execute('true')", "scripts cannot use processes"),
        ("getfenv(1)", "scripts cannot access the interpreter"),
        ("local p = {} p:wait()", "predictions have no methods: use p = wait(prediction), or run, which waits"),
        ("local p = { id = 'x' } p.reload()", "predictions have no methods"),
        ("local images = {} print(images[0].url)", "lists begin at 1: the first item is [1]"),
        ("for x in { 1, 2 } do end", "write for _, item in ipairs(list) do, or pairs(t)"),
        ("local name print('a' .. name)", "assign the value first, or give a default: (value or '')"),
        ("print('a' .. {})", "convert the table: json.encode(value)"),
        ("print('a' .. true)", "convert the value: tostring(value)"),
        ("local function f() end print(#f())", "assign the list first; a function without return returns nil"),
        ("print(utf8.char(65))", "LuaJIT has no utf8"),
        ("print('a' + 'b')", "write .. to join texts"),
        ("local n print(n + 1)", "assign the value first, or give a default: (value or 0)"),
        ("print(1 < 'x')", "compare values of one type"),
        ("for _, x in ipairs(nil) do end", "the list is nil: check the function that returned it"),
        ("local o = {} function o:f() return self.x end o.f()", "call the method with a colon: object:method(…)"),
        ("local file = { url = 'u' } file.url()", "url is a field: write output.url"),
        ("local p = {} print(p.output[1])", "a prediction has no output until it has succeeded; use wait(prediction)"),
        ("local p = {} p:save('x.png')", "only a file has :save(path)"),
    ],
)
def test_errors_about_nil_have_a_hint(lua, source, hint):
    """Lua's error names what was nil; the hint suggests the intended name or an alternative."""
    error = lua(source).error

    assert (hint or "") == (error.hint or "")[: len(hint or "")]
    assert (hint is None) == (error.hint is None)


def test_the_arguments_of_a_script(lua):
    """The arguments from the command line are in `args` and `...`."""
    assert [["a", "b c"], "a", "b c"] == lua("return args, ...", args=["a", "b c"]).results


def test_arguments_as_in_the_lua_command(lua):
    """`arg` is a separate table with the script's name as item 0."""
    source = "args[1] = 'changed' return arg[0], arg[1], arg[-1] == nil, #arg"
    assert ["flow.lua", "a", True, 2] == lua(source, args=["a", "b c"]).results


def test_time_comes_from_the_host(lua):
    """`time` and `sleep` use the host's clock."""
    result = lua("local t = time() sleep(1.5) return t, time() - t", clock=StillClock())

    assert [1_700_000_000.25, 1.5] == result.results


def test_a_shebang_and_a_byte_order_mark_are_skipped(lua):
    """Line numbers remain the same as in an editor."""
    assert [1] == lua("\ufeffreturn 1").results
    assert "flow.lua:2" == lua("#!/usr/bin/env kosmo\nlocal x = nil .. 'a'").error.where


def test_bytecode_is_refused(lua):
    """LuaJIT does not verify bytecode, so no bytecode is loaded, with or without a shebang."""
    assert "bytecode" in lua(b"\x1bLJ\x02\x00").error.message
    assert "syntax_error" == lua(b"#!x\n\x1bLJ\x02\x00").error.code


def test_calls_work_in_coroutines_and_callbacks(lua, host):
    """Calls work in coroutines, pcall, sort comparators and gsub callbacks."""
    result = lua("""
      local echo = integrations.replicate.echo
      local co = coroutine.wrap(function() coroutine.yield(echo{}.ok) end)
      local in_coroutine, in_gsub = co(), nil
      local in_pcall = select(2, pcall(echo, {})).ok
      local list = { 2, 1 }
      table.sort(list, function(a, b) echo{} return a < b end)
      string.gsub("x", "x", function() in_gsub = echo{}.ok end)
      return in_coroutine, in_pcall, list, in_gsub
    """)

    assert [True, True, [1, 2], True] == result.results
    assert len(host.calls) >= 4


def test_host_functions_work_after_globals_are_overwritten(lua, host):
    """A script that overwrites all globals and libraries can still print, call and fail."""
    result = lua("""
      local echo, print_, table_ = integrations.replicate.echo, print, table
      for _, library in ipairs{ string, table, math, coroutine, os } do
        for name in pairs(library) do library[name] = false end
      end
      for _, name in ipairs{ "pairs", "type", "next", "select", "tostring", "pcall", "json", "integrations" } do
        _G[name] = false
      end
      print_("still", 1)
      return echo{ a = { 1 } }
    """)

    assert [{"ok": True}] == result.results
    assert b"still\t1\n" == host.printed


def test_a_cpu_limit_ends_the_run(lua):
    """An endless loop ends with the limit's error, and the hint says how to raise the limit."""
    error = lua("while true do end", limits=Limits(cpu=0.2)).error

    assert isinstance(error, LimitError)
    assert "the script reached its CPU time limit of 0.2 s" == error.message
    assert ("flow.lua:1", "raise it with --cpu-limit SECONDS") == (error.where, error.hint)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("local n = 0\nfor i = 1, 1e12 do\nend", 2),
        ("local n = 0\nwhile true do\n  n = n + 1\n  n = n % 7\nend", None),
        ("local function f(n)\n  return f(n + 1)\nend\nf(1)", 2),
        ("local c = coroutine.wrap(function()\n  while true do end\nend)\nc()", 2),
        ("local t = spawn(function()\n  while true do end\nend)\nt:await()", 2),
        ("while true do\n  pcall(function() while true do end end)\nend", 2),
        ("local t = {}\nwhile true do\n  json.encode(t)\nend", None),
        ("local s = ('a'):rep(1000)\nwhile true do\n  s:gsub('a', 'b')\nend", None),
    ],
    ids=["loop", "lines", "tail call", "coroutine", "task", "pcall", "library", "C function"],
)
def test_a_cpu_limit_names_the_line(lua, source, line):
    """The error names the line in compiled code, coroutines and tasks; in a library call, the caller's line."""
    where = lua(source, limits=Limits(cpu=0.2)).error.where
    lines = [line] if line else range(2, 6)

    assert where in [f"flow.lua:{each}" for each in lines]


@pytest.mark.parametrize("isolation", ["standard"])
def test_a_cpu_limit_inside_one_long_call(lua):
    """The line is unknown, and the hint explains why."""
    error = lua("local s = ('a'):rep(1e6)\ns:find(('a*'):rep(20) .. 'b')", limits=Limits(cpu=0.2)).error

    assert error.where is None
    assert "the line is unknown because one call" in error.hint


def test_a_cpu_limit_cannot_be_caught(lua):
    """`pcall` and coroutines cannot catch the error."""
    source = """
      while true do
        pcall(function() while true do end end)
        coroutine.wrap(function() pcall(function() while true do end end) end)()
      end
    """

    assert "limit_reached" == lua(source, limits=Limits(cpu=0.2)).error.code


@pytest.mark.parametrize(
    "source",
    [
        "return ('x'):rep(2^26)",
        "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end",
        "local s = 'x' while true do s = s .. s end",
    ],
    ids=["rep", "table", "concat"],
)
def test_a_memory_limit_ends_the_run(lua, source):
    """Any use of memory over the limit ends with an error that names the limit and its size."""
    error = lua(source, limits=Limits(cpu=20.0, memory=32 * 1024 * 1024)).error

    assert isinstance(error, LimitError)
    assert "the script reached its memory limit of 32 MiB" == error.message


def test_a_script_can_catch_the_memory_error(lua):
    """Running out of memory is an ordinary error, and the same limit still applies."""
    result = lua("local ok = pcall(string.rep, 'x', 2^26) return ok", limits=Limits(memory=32 * 1024 * 1024))

    assert [False] == result.results


def test_an_answer_that_does_not_fit_is_a_memory_error(lua, host):
    """An answer that is larger than the remaining memory neither blocks nor kills the host."""
    host.answers["echo"] = {"text": "x" * (40 * 1024 * 1024)}

    error = lua("return #integrations.replicate.echo{}.text", limits=Limits(memory=32 * 1024 * 1024)).error

    assert "limit_reached" == error.code


def test_a_canceled_wait_stops_polling(host):
    """The host drops the poll, and other sleeps continue. The run is in this process, so nothing runs while the clock
    moves.
    """
    host.answers["get_prediction"] = {"id": "p", "status": "starting", "urls": {}}
    source = b"""
      local waiting = spawn(wait, { id = "p", status = "starting", urls = {} })
      sleep(0.1)
      waiting:cancel()
      sleep(100)
      return "end"
    """
    script = Script(source=source, name="flow.lua", functions=[("get_prediction",)])

    result = run(script, host, host, limits=Limits(cpu=5.0), isolation="none", clock=StillClock())

    assert (["end"], []) == (result.results, host.calls)


def test_a_delayed_call_is_executed_or_canceled_once(host):
    """Each request gets one answer: its result, or that it was canceled."""
    clock, answered = StillClock(), threading.Event()
    port = Port(host, host, clock)
    port.pending.wake = answered.set
    for identifier in (1, 2):
        port.submit(marshal.encode(["call", identifier, False, "", "echo", {}, None, 5.0]))
    port.submit(marshal.encode(["cancel", 1]))
    canceled = port.take()
    port.submit(marshal.encode(["cancel", 1]))
    clock.now += 5.0
    begun = port.take()
    port.submit(marshal.encode(["cancel", 2]))
    answered.wait(scaled(10))
    came = [*begun, *port.take()]

    assert [["ok", 1, None]] == list(map(msgspec.msgpack.decode, canceled))
    assert [["ok", 2, {"ok": True}]] == list(map(msgspec.msgpack.decode, came))
    assert [("echo", "", {})] == host.calls
    assert 0 == port.pending.open


def test_a_time_limit_ends_a_sleep(lua):
    """Wall-clock time passes during sleeps, and the run ends at its limit."""
    began = time.monotonic()
    error = lua("sleep(60)", limits=Limits(time=0.3)).error

    assert "the script reached its time limit of 0.3 s" == error.message
    assert time.monotonic() - began < scaled(5)


def test_the_output_can_end_a_run(lua, host):
    """An output that refuses more ends the run with its error, even if the script catches errors."""

    def full(stream, text):
        raise LimitError("that is enough")

    host.write = full
    result = lua("for i = 1, 10 do pcall(print, i) end return 'went on'")

    assert "that is enough" == result.error.message
    assert [] == result.results


def test_bugs_of_the_host_are_raised(lua, host):
    """Exceptions other than KosmoError reach the caller of run."""
    host.answers["echo"] = ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        lua("pcall(integrations.replicate.echo, {})")


def test_an_error_of_the_host_without_a_status(lua, host):
    """Fields that are not set are absent from the error table."""
    host.answers["echo"] = ApiError("oh", status=500)

    assert [500, None] == lua("local _, e = pcall(integrations.replicate.echo) return e.status, e.hint").results
