"""Scripts run from a shell: their sources, output and exit statuses."""

import os
import signal
import subprocess
import sys

import pytest
from recording_server import Answer
from waiting import wait_until

from kosmolua.replicate.catalogue import OPERATIONS
from kosmolua.runtime.limits import Limits

ENVELOPE = {
    "success", "output", "result", "results", "error", "code", "execution_time_ms", "memory_usage", "call_log", "meta",
}  # fmt: skip


@pytest.fixture
def script(tmp_path):
    def write(text, name="flow.lua"):
        path = tmp_path / name
        path.write_text(text)
        return name

    return write


@pytest.mark.parametrize("command", ["lua", "integrations:lua"])
def test_each_source_of_a_script(kosmo, script, command):
    """A script can come from a file, --eval or standard input, with or without -."""
    assert (0, "1\n", "") == kosmo(command, script("return 1")).seen
    assert (0, "2\n", "") == kosmo(command, "--eval", "return 2").seen
    assert (0, "3\n", "") == kosmo(command, stdin=b"return 3").seen
    assert (0, "4\n", "") == kosmo(command, "-", stdin=b"return 4").seen


def test_the_output_of_a_script(kosmo):
    """Printed text comes first, then the returned values: text unchanged, data as JSON. Logs are written to standard
    error."""
    ran = kosmo("lua", "-e", "print('a', 1) log('note') return 'text', { x = { 1, json.null } }, nil")

    assert (0, 'a\t1\ntext\n{\n  "x": [\n    1,\n    null\n  ]\n}\n', "note\n") == ran.seen


@pytest.mark.parametrize("place", ["eval:' .. ('9'):rep(5000) .. '", "eval:0", "eval:99", "eval:x", "\\27[2J:1"])
def test_an_error_with_an_invented_place(kosmo, place):
    """An error that a script raises with an invalid place is reported too."""
    ran = kosmo("lua", "-e", f"error({{ message = 'made up', where = '{place}', status = 1e300 }})")

    assert 1 == ran.status
    assert "made up" in ran.err
    assert "Traceback" not in ran.err


def test_running_jobs_are_listed_briefly(server, live):
    """A failed run names a few of its jobs that are still running; the envelope lists all."""
    server.answers.extend(Answer(201, b'{"id": "p%d", "status": "starting"}' % number) for number in range(23))
    source = """
      for _ = 1, 23 do integrations.replicate.create_prediction { version = "v", input = {} } end
      error("left")
    """
    ran = live("lua", "--write", "allow", "--json", "-e", source)

    assert 20 == ran.err.count(" may still run; cancel it: ")
    assert ran.err.endswith("kosmo: and 3 more; list them: kosmo integrations:call replicate.list_predictions\n")
    assert 23 == len(ran.json["meta"]["running"])


@pytest.mark.parametrize(
    ("fault", "source"),
    [
        ([], 'replicate.create("replicate/hello-world", { text = "a" }) error("left")'),
        (["--fault", "drop:create"], "integrations.replicate.create_prediction { version = 'v', input = {} }"),
        (
            ["--fault", "429:create:retry_after=3600"],
            "integrations.replicate.create_prediction { version = 'v', input = {} }",
        ),
        ([], 'run("kosmolua/always-fails", {})'),
    ],
    ids=["running", "unanswered", "rate-limited", "failed"],
)
def test_emulated_runs_have_no_hints_about_the_api(kosmo, fault, source):
    """After an emulated run no hint refers to the API itself."""
    ran = kosmo("lua", "--emulate", *fault, "-e", source)

    assert 1 == ran.status
    assert "may still run" not in ran.err
    assert "integrations:call" not in ran.err
    assert "replicate.com" not in ran.err


def test_the_envelope(server, live):
    """With --json, standard output is one envelope with the output, the results, and a log of the calls without their
    inputs."""
    server.default = Answer(body=b'{"id": "p1"}')
    source = """print('hello')
      local p = integrations.replicate.create_prediction{ version = 'v', input = { secret = 'marked-input' } }
      return p.id, 2"""

    ran = live("lua", "-e", source, "--json", "--write", "allow")

    envelope = ran.json
    assert envelope.keys() == ENVELOPE
    assert (True, "hello\n", "p1", ["p1", 2]) == tuple(
        envelope[name] for name in ("success", "output", "result", "results")
    )
    (entry,) = envelope["call_log"]
    assert ("create_prediction", "default", "write", "allow", "write=allow (--write)", "policy", "ok", 200) == tuple(
        entry[name] for name in ("function", "account", "access", "decision", "rule", "by", "outcome", "status")
    )
    assert "marked" not in str(entry)
    assert envelope["memory_usage"] > 0
    assert "standard" == envelope["meta"]["isolation"]["mode"]
    assert {"process", "rlimits"} <= {*envelope["meta"]["isolation"]["layers"]}
    assert "LuaJIT" in envelope["meta"]["engine"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_function_from_lua(server, live, operation):
    """Each function can be called by both names from Lua, and sends the same request as the command line."""
    example = operation.example
    source = f"""
      local arguments = json.decode(args[1])
      local short = integrations.replicate.{operation.name}
      local full = app.integrations.replicate.default.replicate_{operation.name}
      short(arguments) full(arguments)
    """
    import json

    ran = live("lua", "-e", source, "--force", "--", json.dumps(example))

    assert (0, "", "") == ran.seen
    first, second = server.requests
    assert (first.method, first.target) == (second.method, second.target)
    if operation.content_type == "application/json":
        body = {p.name: example[p.name] for p in operation.parameters if p.place == "body" and p.name in example}
        assert body == json.loads(first.body) == json.loads(second.body)


def test_values_arrive_unchanged(server, live):
    """Values from the API have their documented types in the script, and are sent back unchanged."""
    server.answers.append(Answer(body=(
        '{"error": null, "list": [], "map": {}, "items": [1, null], "big": 9007199254740993, "t": "\u2028é"}'
    ).encode()))  # fmt: skip
    source = """
      local p = integrations.replicate.get_prediction{ prediction_id = 'p r/ed?x#y%z' }
      assert(p.error == nil and p.big == '9007199254740993' and p.items[2] == json.null)
      p.big = nil
      integrations.replicate.create_prediction{ version = 'v', input = p }
    """

    assert (0, "", "") == live("lua", "-e", source, "--write=allow").seen

    assert "/v1/predictions/p%20r%2Fed%3Fx%23y%25z" == server.requests[0].target
    import json

    assert {"list": [], "map": {}, "items": [1, None], "t": "\u2028é"} == json.loads(server.requests[1].body)["input"]


@pytest.mark.parametrize(
    ("source", "flags", "status", "code", "words"),
    [
        ("local x = = 1", (), 1, "syntax_error", "unexpected symbol near '='"),
        ("error('boom')", (), 1, "script_error", "boom"),
        ("return print", (), 1, "script_error", "a function cannot leave the script"),
        ("local t = {} t.t = t return t", (), 1, "script_error", "table contains itself"),
        ("local f = integrations.replicate.get_acount", (), 2, "unknown_function", "did you mean get_account?"),
        ("integrations.replicate.get_prediction{ id = 1 }", (), 2, "invalid_arguments", "unknown parameter `id`"),
        ("integrations.replicate.create_prediction{ version = 'v', input = {} }", (), 3, "approval_required",
         "needs approval"),
        ("integrations.replicate.get_account{}", ("--read=deny",), 3, "permission_denied", "read=deny (--read)"),
        ("integrations.replicate.get_default_webhook_secret{}", (), 3, "approval_required", "answers with a secret"),
        ("while true do end", ("--cpu-limit", "0.2"), 5, "limit_reached", "CPU time limit of 0.2 s"),
        ("local t = {} while true do t[#t + 1] = {} end", ("--memory-limit", "16M"), 5, "limit_reached",
         "memory limit of 16 MiB"),
        ("while true do print('xxxxxxxxxxxxxxxxxxxxxxxxxx') end", ("--output-limit", "1K"), 5, "limit_reached",
         "output limit of 1024 bytes"),
        ("sleep(60)", ("--time-limit", "0.2"), 5, "limit_reached", "time limit of 0.2 s"),
    ],
)  # fmt: skip
def test_each_failure_has_its_status_and_code(server, live, source, flags, status, code, words):
    """Each failure has its own status, code and message; no request is sent."""
    ran = live("lua", "-e", source, "--json", *flags)

    assert (status, code, False) == (ran.status, ran.json["code"], ran.json["success"])
    assert words in ran.json["error"]
    assert "" == ran.err
    assert [] == server.requests


def test_errors_for_people(kosmo, script):
    """The error names and shows the line; if a limit was reached, the hint names the flag that raises it."""
    ran = kosmo("lua", script("local x = 1\nlocal y = nil .. x\nreturn y"))
    assert (1, "") == (ran.status, ran.out)
    assert (
        "error: flow.lua:2: attempt to concatenate a nil value\n"
        "       1 | local x = 1\n  >    2 | local y = nil .. x\n       3 | return y\n"
        "hint: assign the value first, or give a default: (value or '')\n"
    ) == ran.err

    told = kosmo("lua", "-e", "while true do end", "--cpu-limit=0.1").err
    assert "error: eval:1: the script reached its CPU time limit of 0.1 s\n" in told
    assert "hint: raise it with --cpu-limit SECONDS\n" in told


@pytest.mark.parametrize(
    ("argv", "stdin", "words"),
    [
        (["lua", "/no/such.lua"], None, "cannot read the script '/no/such.lua': No such file or directory"),
        (["lua", "/"], None, "cannot read the script '/': Is a directory"),
        (["lua", "a.lua", "--eval", "x"], None, "--eval and the file 'a.lua' cannot be combined"),
        (["lua"], b"return '\xff'", "standard input is not UTF-8: byte 0xff in line 1"),
        (["lua"], b"\x1bLJ\x02", "stdin is bytecode, not Lua text"),
        (["lua", "--emulat"], b"", "unrecognized arguments: --emulat; did you mean --emulate?"),
        (["lua", "-e", "x", "--cpu-limit", "0"], None, "expected a number of seconds above 0, got '0'"),
        (["lua", "-e", "x", "--memory-limit", "lots"], None, "expected bytes, such as 134217728 or 128M, got 'lots'"),
        (["lua", "-e", "x", "--isolation", "some"], None, "invalid choice: 'some'"),
    ],
)
def test_bad_input_is_a_sentence(kosmo, argv, stdin, words):
    """An invalid command line or source is reported with exit status 2."""
    ran = kosmo(*argv, stdin=stdin)

    assert (2, "") == (ran.status, ran.out)
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_a_refused_call_can_be_caught(server, live):
    """A denied call raises an error table as other errors do; nothing is sent, and the log names who decided."""
    source = "local ok, e = pcall(integrations.replicate.delete_file, { file_id = 'x' }) return ok, e.code"

    ran = live("lua", "-e", source, "--write=deny", "--json")

    assert (0, [False, "permission_denied"]) == (ran.status, ran.json["results"])
    assert ("deny", "policy", "refused") == tuple(
        ran.json["call_log"][0][name] for name in ("decision", "by", "outcome")
    )
    assert [] == server.requests


def test_print_streams_to_a_pipe(tmp_path):
    """The reader of a pipe gets each printed line while the script is still running."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kosmolua", "lua", "-e", "print('first') sleep(30)"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert b"first\n" == process.stdout.readline()
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGINT)
        assert 130 == process.wait(10)
        process.stdout.close()


def test_an_interrupt_leaves_nothing_behind(tmp_path):
    """Ctrl-C ends the run and its child process, with status 130."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kosmolua", "lua", "-e", "print('on') while true do end"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    process.stdout.readline()
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
        (child,) = file.read().split()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)

    assert (130, b"error: interrupted\n") == (process.returncode, err)
    wait_until(lambda: not os.path.exists(f"/proc/{child}"))


def test_a_closed_pipe_ends_quietly():
    """`kosmo lua … | head` prints no error."""
    command = f"{sys.executable} -m kosmolua lua -e 'for i = 1, 1e5 do print(i) end' | head -n 1"
    ran = subprocess.run(["bash", "-c", command], check=False, capture_output=True, timeout=30)

    assert (b"1\n", b"") == (ran.stdout, ran.stderr)


def test_faults_reach_a_script(kosmo):
    """If faults of the emulator are requested, the script gets the errors that the API would return."""
    source = """
      local ok, e = pcall(integrations.replicate.create_model_prediction,
        { model_owner = "meta", model_name = "meta-llama-3-8b-instruct", input = { prompt = "x" } })
      return ok, e.code
    """

    assert [False, "uncertain"] == kosmo("lua", "--emulate", "--fault", "drop:create", "-e", source, "--json").json[
        "results"
    ]
    limited = kosmo("lua", "--emulate", "--fault", "429:create:retry_after=3600", "-e", source, "--json")
    assert [False, "rate_limited"] == limited.json["results"]


def test_the_help_of_the_prompt_lists_only_its_options(kosmo):
    """The prompt's help lists only options that the prompt accepts."""
    shown = kosmo("repl", "--help").out

    assert shown.startswith("usage: kosmo repl [OPTIONS] [FILE]")
    assert all(f"{flag} " in shown for flag in ("--keys", "--journal", "--memory-limit", "--write", "--isolation"))
    assert not [
        flag
        for flag in ("--repl", "--json", "--explain", "--record", "--replay", "--report", "--cpu-limit", "--no-check")
        if f"{flag} " in shown or f"{flag}]" in shown
    ]


def test_the_help_shows_the_limits_in_force(kosmo):
    """The defaults in the help are those of `Limits`."""
    limits = Limits()
    shown = " ".join(kosmo("lua", "--help").out.split())

    assert f"limit the memory of Lua (default: {limits.memory // 1024**2}M)" in shown
    assert f"limit the CPU time (default: {limits.cpu:g})" in shown
    assert f"limit the printed output (default: {limits.output // 1024**2}M)" in shown


@pytest.mark.parametrize("account", ["my work", "büro"])
def test_the_emulator_refuses_an_invalid_account_name(kosmo, account):
    """With --emulate, the error for an invalid account name shows the name."""
    ran = kosmo("lua", "--emulate", "--account", account, "-e", "return integrations.replicate.get_account{}")

    assert 2 == ran.status
    assert f"error: invalid account name {account!r}: expected letters, digits, _ and -\n" in ran.err


@pytest.mark.parametrize("spec", ["drp:create", "drop:creat", "503:retries=2"])
def test_an_invalid_fault_is_refused_before_the_run(kosmo, spec):
    """An invalid fault is an error even if the script makes no call, and the hint names the topic about faults."""
    ran = kosmo("lua", "--emulate", "--fault", spec, "-e", "print('ran')")

    assert (2, "") == (ran.status, ran.out)
    assert "write KIND[:TARGET][:key=value...]" in ran.err
    assert "see kosmo help faults" in ran.err
