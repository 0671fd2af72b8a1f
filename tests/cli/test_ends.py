"""Every command ends the same way: running jobs are named or canceled, and files are written."""

import os
import pty
import select
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from holding_server import HoldingServer
from surroundings import clean_environment

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
RUN = 'run("o/m", { prompt = "x" }, { validate = false })'
STREAM = 'for event in stream("o/m", { prompt = "x" }, { validate = false }) do print(event) end'
SAVE = """
  local p = replicate.create("o/m", { prompt = "x" }, { validate = false })
  download(args[1], "picture.png")
"""


@pytest.fixture
def holding():
    """Creates servers that delay answers."""
    made = []

    def make(*hold):
        made.append(HoldingServer(*hold))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def started(tmp_path):
    """Starts the command line against a server; no process remains after the test."""
    processes = []

    def start(server, *argv, **options):
        environment = {
            **clean_environment(tmp_path), "REPLICATE_URL": server.url, "REPLICATE_API_KEY": "r8_marked_token",
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "kosmolua", *argv],
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
            env=environment, cwd=tmp_path,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def ended(process):
    """The exit status and the printed output."""
    out, err = process.communicate(timeout=30)
    return process.returncode, out.decode(), err.decode()


def lua(source, *flags):
    return ["lua", "--write", "allow", "--allow-write", ".", *flags, "-e", source]


CANCEL = ["--cancel-on-exit"]


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("flags", [[], CANCEL], ids=["", "cancel"])
def test_a_signal_before_a_create(holding, started, number, flags):
    """If a signal ends the run before a create, nothing is named, searched for or canceled."""
    server = holding()
    process = started(server, *lua("print('ready') sleep(60) " + RUN, *flags))
    assert b"ready\n" == process.stdout.readline()
    process.send_signal(number)
    status, _, err = ended(process)

    assert SIGNALS[number] == status
    assert [] == server.requests
    assert f"error: {'interrupted' if number == signal.SIGINT else f'interrupted by {number.name}'}\n" == err


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("flags", [[], CANCEL], ids=["", "cancel"])
@pytest.mark.parametrize("source", [RUN, f"parallel({{ 1 }}, function() {RUN} end)"], ids=["alone", "beside"])
def test_a_signal_while_a_create_is_not_answered(holding, started, number, flags, source):
    """If a signal arrives before a create is answered, its prediction is found in the account, and either canceled or
    named with the command that cancels it."""
    server = holding("create")
    process = started(server, *lua(source, *flags))
    server.saw("POST", "/predictions")
    process.send_signal(number)
    status, _, err = ended(process)

    assert SIGNALS[number] == status
    assert "create_model_prediction created prediction p1" in err
    assert (["p1"] if flags else []) == server.canceled()
    named = "prediction p1 may still run; cancel it: kosmo integrations:call replicate.cancel_prediction"
    assert (named in err) is not bool(flags)
    assert "without an answer" not in err
    assert 1 == server.count("POST", "/predictions")


@pytest.mark.parametrize("flags", [[], CANCEL], ids=["", "cancel"])
def test_a_create_that_never_reached_the_server(holding, started, flags):
    """A create that never reached the server is searched for as long as it could still appear in the list, and then
    reported as possibly created."""
    server = holding("request")
    process = started(server, *lua(RUN, *flags))
    server.saw("POST", "/predictions")
    process.send_signal(signal.SIGTERM)
    status, _, err = ended(process)

    assert 143 == status
    assert "searching the account for what was created" in err
    assert "a prediction or training may have been created without an answer; list recent ones: kosmo" in err
    assert "list_predictions --created_after=" in err
    assert [] == server.canceled()


def test_predictions_of_others_are_not_candidates(holding, started):
    """An older prediction, or one of another model or input, is neither named nor canceled."""
    server = holding("create")
    old = {"created_at": "2020-01-01T00:00:00.000Z"}
    server.create({"input": {"prompt": "x"}}, "/v1/models/o/m/predictions", **old)
    server.create({"input": {"prompt": "y"}}, "/v1/models/o/m/predictions")
    server.create({"input": {"prompt": "x"}}, "/v1/models/o/n/predictions")
    process = started(server, *lua(RUN, *CANCEL))
    server.saw("POST", "/predictions")
    process.send_signal(signal.SIGTERM)
    _, _, err = ended(process)

    assert ["p4"] == server.canceled()
    assert "p1" not in err


def test_more_matches_than_creates(holding, started):
    """If more predictions match than were created, each is named and none is canceled."""
    server = holding("create")
    process = started(server, *lua(RUN, *CANCEL))
    server.saw("POST", "/predictions")
    server.create({"input": {"prompt": "x"}}, "/v1/models/o/m/predictions")
    process.send_signal(signal.SIGTERM)
    _, _, err = ended(process)

    assert [] == server.canceled()
    for identifier in ("p1", "p2"):
        assert f"prediction {identifier} may be what was created without an answer; cancel it: kosmo" in err


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("flags", [[], CANCEL], ids=["", "cancel"])
@pytest.mark.parametrize(
    ("source", "hold", "path"),
    [(RUN, "get", "/predictions/p1"), (STREAM, "stream", "/stream/p1"), (SAVE, "download", "/file/picture.png")],
    ids=["waiting", "streaming", "saving"],
)
def test_a_signal_after_a_create(holding, started, tmp_path, number, flags, source, hold, path):
    """A prediction that the script waits for, streams or saves is named or canceled after a signal, and no partial file
    is left."""
    server = holding(hold)
    process = started(server, *lua(source, *flags), "--", f"{server.origin}/file/picture.png")
    server.saw("GET", path)
    process.send_signal(number)
    status, _, err = ended(process)

    assert SIGNALS[number] == status
    assert (["p1"] if flags else []) == server.canceled()
    assert ("prediction p1 may still run; cancel it: kosmo" in err) is not bool(flags)
    assert 0 == server.count("GET", "/v1/predictions")
    assert [] == [name for name in os.listdir(tmp_path) if name.endswith((".part", ".png"))]


@pytest.mark.parametrize("flags", [[], CANCEL], ids=["", "cancel"])
@pytest.mark.parametrize("hold", ["create", "get"])
def test_the_time_limit(holding, started, flags, hold):
    """A run that reaches its time limit ends the same way, with status 5."""
    server = holding(hold)
    status, _, err = ended(started(server, *lua(RUN, *flags, "--time-limit", "6")))

    assert 5 == status
    assert "reached its time limit of 6 s" in err
    assert (["p1"] if flags else []) == server.canceled()
    assert ("prediction p1 may still run; cancel it: kosmo" in err) is not bool(flags)


@pytest.mark.parametrize("number", SIGNALS)
def test_report_and_journal_are_written(holding, started, tmp_path, number):
    """The report and the journal are written as after any run; a resumed run uses the prediction that was found as the
    create's answer."""
    server = holding("create")
    flags = ("--report", "r.html", "--journal", "j")
    process = started(server, *lua(f"return ({RUN})", *flags))
    server.saw("POST", "/predictions")
    process.send_signal(number)
    assert SIGNALS[number] == ended(process)[0]

    assert "interrupted" in (tmp_path / "r.html").read_text()
    server.hold.clear()
    server.create({"input": {"prompt": "x"}}, "/v1/models/o/m/predictions")  # another client's, created later
    server.predictions[1].update(status="succeeded", output="mine")
    assert (0, "mine\n") == ended(started(server, *lua(f"return ({RUN})", "--journal", "j")))[:2]
    assert 1 == server.count("POST", "/predictions")


def test_the_second_signal_ends_at_once(holding, started):
    """The second signal ends the program without waiting for anything."""
    server = holding("request")
    process = started(server, *lua(RUN))
    server.saw("POST", "/predictions")
    process.send_signal(signal.SIGTERM)
    server.saw("GET", "/predictions")
    process.send_signal(signal.SIGINT)
    status, _, err = ended(process)

    assert 130 == status
    assert err.endswith("kosmo: ended at once; predictions may still be running: kosmo predictions list\n")


def test_a_signal_that_is_sent_twice(holding, started):
    """timeout(1) signals the process and then its group, which counts as one signal."""
    server = holding("create")
    process = started(server, *lua(RUN))
    server.saw("POST", "/predictions")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    status, _, err = ended(process)

    assert 143 == status
    assert "prediction p1 may still run; cancel it: kosmo" in err


def test_an_ignored_signal_has_no_effect(holding, started):
    """SIGHUP is ignored if nohup started the program."""
    server = holding()
    ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
    source = "print('ready') sleep(0.5) return 'done'"
    process = started(server, *lua(source), preexec_fn=ignore)
    assert b"ready\n" == process.stdout.readline()
    process.send_signal(signal.SIGHUP)

    assert (0, "done\n") == ended(process)[:2]


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("flags", [[], CANCEL], ids=["", "cancel"])
def test_a_call_of_one_function_ends_like_a_script(holding, started, number, flags):
    """integrations:call ends like a script after a signal."""
    server = holding("create")
    call = ["integrations:replicate", "create_model_prediction", '{"input":{"prompt":"x"}}', "--model_owner", "o"]
    process = started(server, *call, "--model_name", "m", "--write", "allow", *flags)
    server.saw("POST", "/predictions")
    process.send_signal(number)
    status, _, err = ended(process)

    assert SIGNALS[number] == status
    assert (["p1"] if flags else []) == server.canceled()
    assert ("prediction p1 may still run; cancel it: kosmo" in err) is not bool(flags)


def test_a_call_of_one_function_ends_with_json(holding, started):
    """With --json, the envelope has the same error."""
    server = holding("get")
    process = started(server, "integrations:replicate", "get_prediction", "--prediction_id", "p1", "--json")
    server.saw("GET", "/predictions/p1")
    process.send_signal(signal.SIGTERM)
    status, out, _ = ended(process)

    assert 143 == status
    assert '"code":"interrupted"' in out


@contextmanager
def terminal():
    """The file descriptors of both ends of a terminal."""
    ours, theirs = pty.openpty()
    try:
        yield ours, theirs
    finally:
        os.close(ours)


def asked(descriptor, text):
    """Wait until the terminal shows the text."""
    shown = b""
    while text not in shown:
        assert select.select([descriptor], [], [], 20)[0], shown
        shown += os.read(descriptor, 4096)
    return shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("source", [RUN, f"parallel({{ 1 }}, function() {RUN} end)"], ids=["alone", "beside"])
def test_a_signal_at_a_question(holding, started, number, source):
    """If a signal arrives while a question is shown, nothing is sent before or after the signal."""
    server = holding()
    with terminal() as (ours, theirs):
        process = started(
            server, "lua", "-e", source, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            preexec_fn=lambda: os.close(os.open(os.ttyname(theirs), os.O_RDWR)),
        )  # fmt: skip
        os.close(theirs)
        asked(ours, b"kosmo: allow create_model_prediction")
        process.send_signal(number)
        shown = asked(ours, f"interrupted by {number.name}".encode())

        assert SIGNALS[number] == process.wait(20)
        assert [] == server.requests
        assert b"may" not in shown.partition(b"interrupted")[0].rpartition(b"\n")[2]


def test_a_closed_terminal(holding, started, tmp_path):
    """Closing the terminal window ends the run like SIGHUP: its jobs are canceled, though nobody can read the
    messages."""
    server = holding("get")
    with terminal() as (_, theirs):
        process = started(
            server, *lua(RUN, *CANCEL, "--report", "r.html"), stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True, preexec_fn=lambda: os.close(os.open(os.ttyname(theirs), os.O_RDWR)),
        )  # fmt: skip
        os.close(theirs)
        server.saw("GET", "/predictions/p1")

    assert 129 == process.wait(20)
    assert ["p1"] == server.canceled()
    assert (tmp_path / "r.html").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("flags", [[], CANCEL], ids=["", "cancel"])
@pytest.mark.parametrize("moment", ["typing", "creating"])
def test_a_signal_at_the_prompt(holding, started, number, flags, moment):
    """A signal ends the prompt like :quit, with the status of the signal."""
    server = holding("create") if moment == "creating" else holding()
    with terminal() as (ours, theirs):
        process = started(
            server, "repl", "--write", "allow", *flags, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True, preexec_fn=lambda: os.close(os.open(os.ttyname(theirs), os.O_RDWR)),
        )  # fmt: skip
        os.close(theirs)
        asked(ours, b"in[1]>")
        os.write(ours, b'p = replicate.create("o/m", { prompt = "x" }, { validate = false })\r')
        server.saw("POST", "/predictions")
        shown = b"" if moment == "creating" else asked(ours, b"in[2]>")
        process.send_signal(number)
        shown += _rest(ours)

        assert SIGNALS[number] == process.wait(20)
        assert (["p1"] if flags else []) == server.canceled()
        assert (b"prediction p1 may still run; cancel it: kosmo" in shown) is not bool(flags)


def _rest(descriptor):
    """The terminal's output until the other end is closed."""
    shown = b""
    while True:
        assert select.select([descriptor], [], [], 20)[0], shown
        try:
            piece = os.read(descriptor, 4096)
        except OSError:
            return shown
        if not piece:
            return shown
        shown += piece
