"""Code that a script loads with load, loadstring, require and package."""

import pytest

from kosmolua.errors import UsageError
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.run import Script, run


@pytest.mark.parametrize(
    ("source", "results"),
    [
        ("return load('return 1 + 1')()", [2]),
        ("return load('return ...', 'n')(1, 2)", [1, 2]),
        ("local i = 0 return load(function() i = i + 1 return ({ 'ret', 'urn 3' })[i] end)()", [3]),
        ("return load('x = 5') and loadstring('y = 6; return y')()", [6]),
        ("return load('return x', 'n', 't', { x = 7 })()", [7]),
        ("load('x = 8')() return x", [8]),
        ("return load('return 1', 'n', 'bt')()", [1]),
        ("return load(5)", [None, '[string "5"]:1: unexpected symbol near \'5\'']),
        ("return load('x = = 1', '=config')", [None, "config:1: unexpected symbol near '='"]),
        ("return load('x =\\n= 1', '@my.lua')", [None, "my.lua:2: unexpected symbol near '='"]),
        ("return load('x =\\n= 1')", [None, "[string \"x =...\"]:2: unexpected symbol near '='"]),
        ("return pcall(load('error(\"e\")', '=c'))", [False, "c:1: e"]),
        ("return load(function() return {} end)", [None, "reader function must return a string"]),
        ("return (select(2, pcall(load)))", ["bad argument #1 to 'load' (string or function expected, got no value)"]),
        ("return (select(2, pcall(loadstring, {})))", ["bad argument #1 to 'loadstring' (string expected, got table)"]),
        (("local c = coroutine.wrap(function() return load(function() return coroutine.yield() end) end) c() "
         "c('return 9') return c(nil)()"), [9]),
    ],
)  # fmt: skip
def test_load_compiles_text_as_stock_lua_does(lua, source, results):
    """`load` accepts text or a reader function, with name, mode and environment."""
    found = lua(source)

    assert results == [each.removeprefix("flow.lua:1: ") if isinstance(each, str) else each for each in found.results]


def test_an_error_in_a_loaded_chunk_names_its_line(lua):
    """The error in a loaded chunk has the chunk's own name, as for a file."""
    error = lua("local f = load('local a = 1\\nerror(\"oops\")', '@part.lua')\nf()").error

    assert ("oops", "part.lua:2") == (error.message, error.where)
    assert "part.lua:2 in main chunk\nflow.lua:2 in main chunk" == error.traceback


@pytest.mark.parametrize(
    "name",
    ["string", "table", "math", "os", "io", "coroutine", "bit", "package", "json", "regex", "docs", "replicate", "_G"],
)
def test_require_gives_the_libraries(lua, name):
    """`require` returns the libraries in stock Lua's package.loaded, and this product's tables."""
    assert [True] == lua(f"return rawequal(require('{name}'), _G['{name}'])").results


@pytest.mark.parametrize(
    ("module", "value"),
    [(b"count = (count or 0) + 1 return count", 1), (b"", True), (b"package.loaded[...] = 'own'", "own")],
)
def test_a_module_is_loaded_once(lua, host, module, value):
    """The module's value is in package.loaded; for a chunk without a value, true or what it stored there."""
    host.answers["host.require"] = {"source": module, "file": "m.lua"}

    assert [value, value, value] == lua("return require('m'), require('m'), package.loaded.m").results
    assert 1 == len(host.calls)


def test_package_preload(lua):
    """A loader function in package.preload provides the module."""
    assert ["made x"] == lua(
        "package.preload.x = function(name) return 'made ' .. name end return require('x')"
    ).results


def test_a_syntax_error_in_a_module_names_the_module(lua, host):
    """The error has the module's file and line."""
    host.answers["host.require"] = {"source": b"local a = 1\nlocal b = = 2", "file": "lib/bad.lua"}
    error = lua("local ok = 1\nrequire('lib.bad')").error

    assert ("syntax_error", "unexpected symbol near '='", "lib/bad.lua:2") == (error.code, error.message, error.where)


@pytest.mark.parametrize("name", ["ffi"])
def test_missing_libraries_are_reported(lua, name):
    """The error names the library, and no file with that name is looked for."""
    assert f"require: scripts have no library {name}" == lua(f"require('{name}')").error.message


def test_the_path_is_sent_if_the_script_changed_it(lua, host):
    """The path has templates as in stock Lua; the host searches the directories within its rules."""
    host.answers["host.require"] = UsageError("no")
    lua("pcall(require, 'x') package.path = 'lib/?.lua;' .. package.path require('y')")

    asked = [arguments for _, _, arguments in host.calls]
    assert [{"name": "x"}, {"name": "y", "path": "lib/?.lua;./?.lua;./?/init.lua"}] == asked


@pytest.mark.parametrize(("code", "status"), [("", 0), ("0", 0), ("true", 0), ("3", 3), ("false", 1), ("255", 255)])
def test_exit_ends_the_run(lua, host, code, status):
    """`exit` ends the run at once, even inside pcall."""
    for name in ("exit", "os.exit"):
        result = lua(f"print('a') pcall(function() {name}({code}) end) print('b')")

        assert status == (result.error.exit_status if result.error else 0)
        assert b"a\n" == host.printed
        host.printed = b""


def test_exit_ends_a_run_from_a_task(lua):
    """The run ends without waiting for other tasks."""
    result = lua("spawn(function() sleep(60) end) spawn(function() coroutine.wrap(exit)(4) end) sleep(60)")

    assert ("exited", 4) == (result.error.code, result.error.exit_status)


def test_exit_at_any_instruction_count(host):
    """In a shared process limits are checked every 1,000 instructions; `exit` works at each distance to a check."""
    for padding in range(1000):
        script = Script(source=f"for i = 1, {padding} do end exit(4)".encode(), name="flow.lua")
        error = run(script, host, host, limits=Limits(cpu=5.0), isolation="none").error
        assert ("exited", 4) == (error.code, error.exit_status)


@pytest.mark.parametrize("code", ["-1", "256", "1.5", "'x'", "{}"])
def test_exit_takes_a_status(lua, code):
    """`exit` accepts a status from 0 to 255, or a boolean."""
    assert "exit: expected a status from 0 to 255, true or false, got" in lua(f"exit({code})").error.message


def test_write_adds_nothing(lua, host):
    """`write` adds neither newline nor tabs, and io.write and the streams behave the same."""
    lua("write('a', 1, nil, true) io.write('b'):write('c') io.stdout:write('d\\n') io.stderr:write('e')")

    assert (b"a1niltruebcd\n", b"e") == (host.printed, host.logged)


def test_collectgarbage_only_reports(lua):
    """Only options that cannot weaken the memory limit have an effect."""
    source = "return collectgarbage('count') > 0, collectgarbage(), collectgarbage('stop'), collectgarbage('step')"

    assert [True, 0, 0, True] == lua(source).results
    assert "invalid option 'x'" in lua("collectgarbage('x')").error.message


@pytest.mark.parametrize("source", ["f()", "pcall(f) f()", "local co = coroutine.wrap(f) co()", "spawn(f) sleep(0)"])
def test_a_stack_overflow_names_a_line(lua, source):
    """The error has a line and a hint, however much stack is left."""
    error = lua(f"function f(n)\n  return 1 + f(n)\nend\n{source}").error

    assert ("stack overflow", "flow.lua:2") == (error.message, error.where)
    assert "a function calls itself endlessly: check the condition that ends the recursion" == error.hint


@pytest.mark.parametrize("length", [10, 55, 59, 60, 61, 120])
def test_errors_in_scripts_with_long_names_have_a_line(lua, length):
    """An error has a line even though Lua shortens names with 60 or more characters."""
    name = "x" * (length - 4) + ".lua"
    raised = lua("\nlocal function f() error('oops') end f()", name=name).error
    syntax = lua("\nx x", name=name).error

    assert ("oops", f"{name}:2") == (raised.message, raised.where)
    assert f"{name}:2 in 'f'" in raised.traceback
    assert ("syntax_error", f"{name}:2", "x x") == (syntax.code, syntax.where, syntax.detail)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("return pcall(coroutine.wrap, nil)", "coroutine.wrap: expected a function, got nothing"),
        ("local ok, e = pcall(error, 'a', 2) return ok, e", "flow.lua:1: a"),
        ("return pcall(string.rep)", "bad argument #1 to '?' (string expected, got no value)"),
        ("return false, select(2, pcall(pcall)):gsub('%?', 'pcall')", "bad argument #1 to 'pcall' (value expected)"),
        ("local t = spawn(sleep, 1) t:cancel() local ok, e = pcall(t.await, t) return ok, tostring(e)",
         "the task was canceled"),
    ],
)  # fmt: skip
def test_errors_name_no_file_of_the_host(lua, source, text):
    """Positions refer to the script, and every error has a message."""
    assert [False, text] == lua(source).results[:2]
