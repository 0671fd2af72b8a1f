"""Scripts call the host's own functions through the same gate as the API's functions."""

import asyncio
import dataclasses
import json
import os
import threading
import time
from pathlib import Path

import msgspec
import pytest

from kosmolua import AsyncHost, Caps, Function, FunctionError, Host, OptionError
from kosmolua.cli import main


class Mail(msgspec.Struct):
    to: str
    tags: list[str] = []


@dataclasses.dataclass
class Sent:
    to: str
    count: int


def notify(text: str, times: int = 1):
    """Tell the operator."""
    return {"said": text * times}


def send(mail):
    return Sent(mail.to, len(mail.tags))


def fail():
    raise ValueError("the printer is on fire")


@pytest.fixture
def host():
    """A host with these functions that allows all calls."""
    functions = {"notify": notify, "send": Function(call=send, arguments=Mail, access="read"), "fail": fail}
    with Host(emulate=True, functions=functions) as made:
        yield made


def test_a_script_calls_a_function(host):
    """Functions can be declared by signature or Struct; results are plain data, and the log has the calls."""
    result = host.run('return custom.notify{ text = "a", times = 2 }, custom.send{ to = "b", tags = {} }')

    assert [{"said": "aa"}, {"to": "b", "count": 0}] == result.results
    assert [("custom.notify", "write", "ok"), ("custom.send", "read", "ok")] == [
        (entry.function, entry.access, entry.outcome) for entry in result.log
    ]
    assert {"said": "x"} == host.call("custom.notify", {"text": "x"})


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        ("custom.fail{}", "function_failed", "custom.fail: ValueError: the printer is on fire"),
        ("custom.notify{}", "invalid_arguments", "custom.notify: Object missing required field `text`"),
        ('custom.notify{ txt = "a" }', "invalid_arguments", "unknown parameter `txt`; did you mean `text`?"),
        ("custom.notify{ text = 1 }", "invalid_arguments", "Expected `str`, got `int` - at `text`"),
        ("custom.notify{ 'a' }", "invalid_arguments", "expected named arguments"),
        ('custom.send{ to = "a", tags = { 1 } }', "invalid_arguments", "at `tags[0]`"),
        ("custom.notfy{}", "unknown_function", "did you mean custom.notify"),
    ],
)
def test_failures_are_error_tables(host, call, code, words):
    """A script can catch the failure of a function and sees what was expected."""
    result = host.run(f"local ok, e = pcall(function() return {call} end) return ok, e.code, e.message")

    assert [False, code] == result.results[:2]
    assert words in result.results[2]


def test_the_exception_of_a_function_is_the_cause(host):
    """The program gets its own exception; a script sees only the message."""
    with pytest.raises(FunctionError) as raised:
        host.call("custom.fail")

    assert isinstance(raised.value.__cause__, ValueError)
    assert "custom.fail" == raised.value.function


@pytest.mark.parametrize("value", [object(), {1, "a"}, {"a": object()}, float])
def test_a_result_that_is_not_plain_data_is_refused(value):
    """A result that is not plain data is refused, because only values can cross to Lua."""
    with Host(emulate=True, functions={"odd": lambda: value}) as host:
        result = host.run("return custom.odd{}")

    if isinstance(value, set):
        assert {1, "a"} == set(result.results[0])
    else:
        assert "function_failed" == result.error.code
        assert "not plain data" in str(result.error)


def test_ten_megabytes_and_ten_thousand_calls():
    """The script's memory limit applies to results, and its budget to the number of calls, as for the API."""
    with Host(emulate=True, functions={"big": lambda: "x" * 10_000_000, "small": lambda: 1}) as host:
        result = host.run("local sum = #custom.big{} for _ = 1, 10000 do sum = sum + custom.small{} end return sum")

    assert (None, [10_010_000]) == (result.error, result.results)
    with Host(emulate=True, functions={"small": lambda: 1}, caps=Caps(calls=3)) as host:
        assert "limit_reached" == host.run("for _ = 1, 9 do custom.small{} end").error.code


def test_a_function_may_call_the_host():
    """A script run by a function within another run has its own budget and log."""
    with Host(emulate=True, functions={"inner": lambda: host.run("return 7").results}) as host:
        assert [7] == host.run("return custom.inner{}[1]").results


NESTED = {
    "a run": lambda host: host.run("return custom.again{}").raise_for_error(),
    "a started run": lambda host: host.start("sleep(0) return custom.again{}").result().raise_for_error(),
    "a call": lambda host: host.call("custom.again"),
    "tasks": lambda host: host.run("return parallel({ 1 }, function() return custom.again{} end)").raise_for_error(),
}


@pytest.mark.parametrize("how", NESTED)
def test_a_function_that_recursively_calls_the_host_is_ended(how):
    """The recursion ends before it uses up processes, threads or the stack, and the host still works."""
    counted = []

    def again():
        counted.append(threading.active_count())
        return NESTED[how](host)

    with Host(emulate=True, functions={"again": again}) as host:
        result = host.run("return custom.again{}")
        assert 1 == host.run("return 1").value

    assert ("function_failed", 16) == (result.error.code, len(counted))
    assert "16 levels deep" in result.error.message


def test_an_async_function_that_recursively_calls_the_host_is_ended():
    """The recursion also ends if the function awaits the host, whose threads it would use up."""
    counted = []

    async def again():
        counted.append(1)
        if len(counted) % 2:
            return await host.call("custom.again")
        return (await host.run("return custom.again{}")).raise_for_error()

    async def main():
        nonlocal host
        host = AsyncHost(emulate=True, functions={"again": again})
        async with host:
            return await host.run("return custom.again{}")

    host = None
    result = asyncio.run(main())

    assert ("function_failed", 16) == (result.error.code, len(counted))


def test_a_blocking_function_delays_nothing_else():
    """While a function blocks, calls of the API continue, and a stop ends the run."""
    released = threading.Event()
    with Host(emulate=True, functions={"block": Function(call=lambda: released.wait(60), access="read")}) as host:
        source = """
          spawn(function() custom.block{} end)
          integrations.replicate.get_account{}
          log("called")
          sleep(60)
        """
        said = []
        output = Output(said)
        run = host.script(source, output=output)
        output.then = run.stop
        began = time.monotonic()
        result = run.result()
        released.set()

    assert ("interrupted", True) == (result.error.code, time.monotonic() - began < 30)
    assert [b"called\n"] == said


class Output:
    """A stream that keeps what is printed, and signals it."""

    then = None

    def __init__(self, said):
        self.said = said

    def write(self, _stream, text):
        self.said.append(text)
        self.then()


def test_the_policy_decides(tmp_path, monkeypatch):
    """A plain function is a write, which needs approval; rules use the function's name with the prefix."""
    monkeypatch.setenv("KOSMO_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("KOSMO_STATE_DIR", str(tmp_path))
    source = "return custom.notify{ text = 'a' }.said, custom.look{}"
    functions = {"notify": notify, "look": Function(call=lambda: 1, access="read")}
    with Host(functions=functions, token="r8_none") as host:
        assert "approval_required" == host.run(source).error.code
    rule = '[[replicate.rules]]\nverdict = "{}"\nfunctions = ["custom.{}"]\n'
    for verdict, glob, code in (
        ("allow", "notify", None),
        ("allow", "*", None),
        ("deny", "look", "approval_required"),
        ("deny", "no*", "permission_denied"),
    ):
        (tmp_path / "config.toml").write_text(rule.format(verdict, glob))
        with Host(functions=functions, token="r8_none") as host:
            error = host.run(source).error
            assert code == (error and error.code), (verdict, glob)


def test_a_header_limits_functions_too(host):
    """A script cannot call functions that its header does not declare."""
    declared = "--@ needs: custom.send\nreturn custom.send{ to = 'a' }.to"

    assert ["a"] == host.run(declared).results
    assert "permission_denied" == host.run("--@ needs: get_account\ncustom.notify{ text = 'a' }").error.code


def test_a_journal_replays_calls(tmp_path):
    """A resumed run does not repeat calls that were answered."""
    calls = []

    def count():
        calls.append(1)
        return len(calls)

    source = "local n = custom.count{} if n < 0 then return end error(args[1])"
    with Host(emulate=True, functions={"count": count}) as host:
        for _ in range(2):
            result = host.run(source, ["stop"], journal=str(tmp_path / "j"))
            assert "stop" in str(result.error)

    assert [1] == calls


@pytest.mark.parametrize(("idempotent", "code"), [(True, None), (False, "journal")])
def test_an_interrupted_write_is_repeated_only_with_approval(tmp_path, idempotent, code):
    """It is unknown whether an interrupted function was executed, so a person has to decide."""
    marker, journal = tmp_path / "marker", str(tmp_path / "j")

    def mark():
        if not marker.exists():
            marker.write_text("")
            os._exit(9)
        return "again"

    functions = {"mark": Function(call=mark, idempotent=idempotent)}
    pid = os.fork()
    if pid == 0:
        with Host(emulate=True, functions=functions, isolation="none") as host:
            host.run("return custom.mark{}", journal=journal)
        os._exit(1)
    assert 9 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    with Host(emulate=True, functions=functions) as host:
        result = host.run("return custom.mark{}", journal=journal)

    assert code == (result.error and result.error.code)
    if code:
        assert "whether it was executed is unknown" in str(result.error)
        assert "--send-again" in result.error.hint
    else:
        assert ["again"] == result.results


def test_functions_are_documented_for_scripts(host):
    """Scripts can list, find and read about functions of the host like functions of the API."""
    source = """
      local found = docs.search("operator")
      return docs.list()[1].name, found[1].name, docs.read("custom.notify")
    """
    listed, found, page = host.run(source).results

    assert ("custom.notify", "custom.notify") == (listed, found)
    assert "# custom.notify (write)\n\nTell the operator.\n" in page
    assert "- text (string, required)\n- times (integer)" in page


@pytest.mark.parametrize(
    ("functions", "words"),
    [
        ({"Bad": notify}, "expected names such as send_mail, got 'Bad'"),
        ({"": notify}, "expected names such as"),
        ({"n": 3}, "expected a function"),
        ({"n": lambda *a: a}, "parameter a cannot be passed by name"),
        ({"n": Function(call=notify, access="append")}, "expected read or write"),
        ([notify], "expected a dictionary of functions by name"),
    ],
)
def test_invalid_functions_are_refused_at_creation(functions, words):
    """The error comes when the host is created, not at the first call."""
    with pytest.raises(OptionError, match=words):
        Host(functions=functions)


def test_a_dry_run_calls_nothing():
    """A dry run shows the call of a function without executing it."""
    called = []
    with Host(emulate=True, dry_run=True, functions={"go": lambda n=1: called.append(n)}) as host:
        assert {"function": "custom.go", "arguments": {"n": 2}} == host.call("custom.go", {"n": 2})

    assert [] == called


MODULE = """
def notify(text: str):
    "Tell the operator."
    return text.upper()

FUNCTIONS = {"notify": notify}
"""


@pytest.mark.parametrize("name", ["FUNCTIONS", "notify"])
def test_the_command_line_takes_functions(tmp_path, monkeypatch, capfd, name):
    """The command line loads functions from a module in the current directory; the check knows them too."""
    monkeypatch.chdir(tmp_path)
    Path(f"my_{name.lower()}.py").write_text(MODULE)
    flags = ["--emulate", "--functions", f"my_{name.lower()}:{name}", "--json"]

    assert 0 == main(["lua", *flags, "--eval", "return custom.notify{ text = 'a' }"])
    assert "A" == json.loads(capfd.readouterr().out)["result"]


def test_the_check_knows_functions(tmp_path, monkeypatch, capfd):
    """The check reports a misspelled or missing function before the run."""
    monkeypatch.chdir(tmp_path)
    Path("checked_functions.py").write_text(MODULE)
    Path("good.lua").write_text("return custom.notify{ text = 'a' }")
    Path("wrong.lua").write_text("return custom.notfy{ text = 'a' }")
    flags = ["--functions", "checked_functions:FUNCTIONS"]

    assert 0 == main(["check", "good.lua", *flags])
    assert 1 == main(["check", "wrong.lua", *flags])
    assert "custom.notfy" in capfd.readouterr().out
    main(["check", "good.lua"])
    assert "--functions MODULE:NAME" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nosuch", "expected MODULE:NAME"),
        ("no_such_module:x", "cannot import no_such_module"),
        ("os:sep", "sep of os is a str"),
        ("os:nosuch", "nosuch of os is missing"),
    ],
)
def test_missing_functions_are_reported(capfd, given, words):
    """The error for a missing function has an example."""
    assert 2 == main(["lua", "--emulate", "--functions", given, "--eval", "return 1"])
    assert words in capfd.readouterr().err


def test_a_resumed_run_counts_earlier_calls(tmp_path):
    """The budget of a resumed run includes earlier calls."""
    path, ticks = str(tmp_path / "j"), []
    with Host(emulate=True, functions={"tick": lambda: ticks.append(1)}) as host:
        codes = [
            host.run("for _ = 1, 5 do custom.tick{} end", journal=path, caps=Caps(writes=most)).error.code
            for most in (2, 4)
        ]

    assert (["limit_reached"] * 2, 4) == (codes, len(ticks))


def test_a_run_without_functions_gets_a_hint():
    """The hint says that the function's name may belong to another host."""
    with Host(emulate=True) as host:
        error = host.run("return custom.notify{}").error

    assert "kosmo lua --functions MODULE:NAME" in error.hint


def test_a_function_gets_no_file(tmp_path):
    """A file argument would be a path, which the function might be able to read although the script may not."""
    source = f"return custom.keep{{ value = {{ file('{tmp_path}/secret.txt') }} }}"
    kept = []

    def keep(value):
        kept.append(value)

    with Host(emulate=True, functions={"keep": keep}) as host:
        error = host.run(source).error

    assert ("invalid_arguments", "custom.keep: expected plain data, got a file") == (error.code, error.message)
    assert "pass the text of the file: file(path):read()" == error.hint
    assert [] == kept
