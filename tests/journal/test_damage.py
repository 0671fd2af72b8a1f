"""Damaged or unusable journal files: no disk space, no permission, a truncated end, use by another process, other
programs' files."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager

import pytest
from journalled import HELLO
from recording_server import Answer

from kosmolua import cli
from kosmolua.errors import JournalError, UsageError
from kosmolua.journal.journal import Journal
from kosmolua.journal.lock import holder_of
from kosmolua.journal.records import Head
from kosmolua.journal.sqlite import decoded
from kosmolua.replicate import catalogue

CREATE = f"integrations.replicate.create_prediction{{ version = '{HELLO}', input = {{ text = 'a' }} }}"
GET = "integrations.replicate.get_prediction{ prediction_id = 'p' }"
HEAD = Head(script="flow.lua", source=b"")


@pytest.fixture
def room():
    """Limits the size of files until the test ends, which acts like a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_no_room_for_an_intent(server, flow, room):
    """No call is sent if its intent cannot be written; with free space the run continues."""
    server.default = Answer(201, b'{"id": "p1"}')
    flow("time()")
    source = f"time() return {CREATE}.id"
    size = os.path.getsize(flow.path)

    def fill():
        for _ in range(1000):
            journal.intend(journal.begin(Request(), 0))

    with closing(Journal(flow.path, HEAD)) as journal:
        room(size)
        with pytest.raises(JournalError, match="nothing of this call was sent"):
            fill()
    room(resource.RLIM_INFINITY)
    assert [] == server.requests
    assert ["p1"] == flow(source, cut=True).results


class Request:
    task, number, function, account, arguments, input = 7, 1, "create_prediction", "", b"\x80", 0


def test_no_room_for_an_answer(emulated, room):
    """If an answer cannot be written, the run ends with an error; the resumed run finds what the call created."""
    flow = emulated.flow

    source = f"return {CREATE}.id"
    filling = f"for i = 1, 400 do time() end {source}"
    taken = []
    for size in range(40_000, 200_000, 4_096):
        room(size)
        try:
            ran = flow(filling)
        except JournalError:
            continue
        finally:
            room(resource.RLIM_INFINITY)
        taken.append(ran.error and ran.error.code)
        if ran.error is None:
            break
    ran = flow(filling)

    assert "journal" in taken
    assert (None, emulated.made) == (ran.error, ran.results)
    assert 1 == len(emulated.made)


@contextmanager
def nobody():
    """Runs as a user other than root."""
    before = os.geteuid()
    os.seteuid(before or 65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_journal_that_may_not_be_written(flow):
    """Missing permission for the file or its directory is reported before the script runs."""
    with tempfile.TemporaryDirectory() as directory:
        flow.path = f"{directory}/x.journal"
        flow("time()")
        os.chmod(flow.path, 0o444)
        for mode in (0o777, 0o555):
            os.chmod(directory, mode)
            with nobody(), pytest.raises((JournalError, UsageError), match=r"cannot (use|write)"):
                Journal(flow.path, HEAD)


def test_a_truncated_end(server, flow):
    """If the last page is cut at any length, the page is ignored and the rest of the journal is valid."""
    server.default = Answer(body=b'{"id": "p"}')
    source = "\n".join([GET] * 5) + " return 1"
    journal = Journal(flow.path, HEAD)
    for number in range(1, 6):
        asked = type("Request", (), {**vars(Request), "task": 0, "number": number, "function": "get_prediction"})
        asked.arguments = b"\x81\xadprediction_id\xa1p"
        journal.finish(journal.begin(asked, number - 1), b"\x81\xa2id\xa1p", ok=True)
    with open(f"{flow.path}-wal", "rb") as file:
        wal = file.read()
    with open(flow.path, "rb") as file:
        main = file.read()
    journal.close()
    asked_for = set()
    for cut in range(1, 3 * 4120, 1373):
        for path, content in ((flow.path, main), (f"{flow.path}-wal", wal[:-cut])):
            with open(path, "wb") as file:
                file.write(content)
        before = len(server.requests)
        assert [1] == flow(source).results
        asked_for.add(len(server.requests) - before)

    assert asked_for <= {1, 2, 3, 4}
    assert 1 in asked_for


def test_an_invalid_page(flow):
    """An invalid page is reported, and the journal is not repaired by guessing."""
    flow("for i = 1, 100 do time() end")
    with open(flow.path, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8192))
    with pytest.raises(JournalError, match="cannot use the journal"):
        flow("for i = 1, 100 do time() end")


@pytest.mark.parametrize("content", [b"-- a script\n" * 100, b"SQLite format 3\0" + b"x" * 5000], ids=["text", "half"])
def test_a_file_that_is_not_a_journal(flow, content):
    """A file that is not a journal is refused and left unchanged."""
    with open(flow.path, "wb") as file:
        file.write(content)
    with pytest.raises(JournalError, match="cannot use the journal"):
        flow("return 1")
    with open(flow.path, "rb") as file:
        assert content == file.read()


def test_a_database_of_another_program(flow):
    """A database of another program is refused, and so is a journal of a newer version."""
    with sqlite3.connect(flow.path) as file:
        file.execute("CREATE TABLE theirs (a)")
    with pytest.raises(JournalError, match="database of another program"):
        flow("return 1")
    file.execute("DROP TABLE theirs")
    file.close()
    flow("return 1")
    with sqlite3.connect(flow.path) as file:
        file.execute("PRAGMA user_version = 99")
    file.close()
    with pytest.raises(JournalError, match="schema 99"):
        flow("return 1")


BYTES, TEXT = "x'1b5b324a'", "'text'"
COLUMNS = {  # the columns of each table, with a value that is invalid for the column
    "runs": {"at": BYTES, "digest": BYTES},
    "ends": {"run": TEXT, "at": "1e18", "ok": BYTES},
    "outcomes": {"task": TEXT, "request": BYTES, "function": BYTES, "account": BYTES, "digest": TEXT, "at": "1e300",
                 "seen": TEXT, "model": BYTES, "state": BYTES, "value": "7", "ended": TEXT, "sent": TEXT},
    "intents": {"task": TEXT, "function": BYTES, "account": BYTES, "arguments": TEXT, "essence": TEXT, "boot": BYTES,
                "uptime": "-1e999", "cut": BYTES},
}  # fmt: skip
FACTS = {
    "id": "7", "script": "NULL", "source": TEXT, "args": "x'c0'", "account": "7", "emulated": TEXT, "prompt": TEXT,
    "began": "9e300", "seed": BYTES,
}  # fmt: skip
TABLES = ("facts", *COLUMNS)
SPOILT = {
    "its tables": [
        "CREATE TABLE more (a)",
        "CREATE TRIGGER more INSERT ON runs BEGIN DELETE FROM intents; END",
        *(f"DROP TABLE {table}" for table in TABLES),
    ],
    "invalid run metadata": [
        "DELETE FROM facts",
        *(f"DELETE FROM facts WHERE name = '{name}'" for name in FACTS if name not in {"account", "prompt"}),
        *(f"UPDATE facts SET value = {value} WHERE name = '{name}'" for name, value in FACTS.items()),
    ],
    "invalid row 1": [
        f"UPDATE {table} SET {column} = {value}"
        for table, columns in COLUMNS.items()
        for column, other in columns.items()
        for value in ([other] if column in {"model", "value"} else ["NULL", other])
    ],
    "invalid data": [
        *(f"UPDATE outcomes SET value = {value}" for value in ("x'c1'", "x''", "x'91c4'")),
    ],
    "invalid": [
        *(f"UPDATE facts SET value = {value} WHERE name = 'args'" for value in ("x'c1'", "x''", TEXT)),
    ],
}


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """Damages a journal that has entries of every kind with an SQL statement, and runs the command line on it."""
    directory = tmp_path_factory.mktemp("spoilt")
    base, path = directory / "base.journal", directory / "x.journal"
    with closing(Journal(str(base), HEAD)) as journal:
        for number, ok in ((1, True), (2, False), (3, None)):
            ticket = journal.begin(type("Request", (Request,), {"number": number})(), number - 1)
            ticket.adopt(catalogue.find("create_prediction"), {"version": "v", "input": {}})
            journal.intend(ticket)
            if ok is not None:
                journal.finish(ticket, b"\x81\xa2id\xa1p", ok=ok)
        journal.end(JournalError("x"))

    def run(statement, *argv):
        for end in ("", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        path.write_bytes(base.read_bytes())
        with closing(sqlite3.connect(path)) as file:
            file.execute(statement)
            file.commit()
        return cli.main([*argv, str(path)])

    return run


@pytest.mark.parametrize("what", SPOILT)
@pytest.mark.parametrize("action", ["show", "export", "resume"])
def test_data_of_another_program_is_refused(spoilt, capfdbinary, what, action):
    """The error names the file and the problem, and the data are not used."""
    for statement in SPOILT[what]:
        status = spoilt(statement, "runs", action)
        out, err = capfdbinary.readouterr()
        first = err.decode().split("\n")[0]

        assert (1, b"", True) == (status, out, first.startswith("error: cannot use the journal ")), statement
        assert what in first, statement


@pytest.mark.parametrize("arguments", ["x'c1'", "x''", "x'd40161'", "x'81c001'", "x'a2fffe'", f"x'{'91' * 5000}01'"])
def test_arguments_that_are_not_data(spoilt, capfdbinary, arguments):
    """Invalid arguments do not prevent a journal from being shown or exported."""
    for action in ("show", "export"):
        assert 0 == spoilt(f"UPDATE outcomes SET arguments = {arguments}", "runs", action)
    out, err = capfdbinary.readouterr()

    assert b"" == err
    assert b"create_prediction" in out


def test_answers_without_a_json_form(spoilt, capfdbinary):
    """An export reports answers that cannot be written as JSON."""
    for value in ("x'd40161'", "x'81c001'"):
        assert 1 == spoilt(f"UPDATE outcomes SET value = {value}", "runs", "export")
        assert b"cannot be written as JSON" in capfdbinary.readouterr().err


def test_two_processes_with_one_journal(flow):
    """A second process that uses the journal is refused with an error that names the first; after the first has ended,
    the second can continue."""
    code = (
        "import signal, sys; sys.path[:0] = sys.argv[2].split(':')\n"
        "from kosmolua.journal.journal import Head, Journal\n"
        "journal = Journal(sys.argv[1], Head(script='flow.lua', source=b''))\n"
        "print('held', flush=True); signal.pause()"
    )
    holding = subprocess.Popen(
        [sys.executable, "-c", code, flow.path, ":".join(sys.path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert "held\n" == holding.stdout.readline()
        assert holding.pid == holder_of(flow.path)
        with pytest.raises(JournalError, match=f"process {holding.pid}"):
            flow("return 1")
    finally:
        holding.kill()
        holding.wait()
        holding.stdout.close()
    assert [1] == flow("return 1").results
    assert holder_of(flow.path) is None
    assert not os.path.exists(f"{flow.path}-lock")


def test_an_invalid_path_of_a_journal(flow, tmp_path):
    """A missing directory, or a directory instead of a file, is reported."""
    for path in (tmp_path / "none" / "x.journal", tmp_path):
        flow.path = str(path)
        with pytest.raises((JournalError, UsageError)):
            flow("return 1")


def test_only_the_owner_can_read_the_file(flow):
    """Only the owner can read a journal, since it contains inputs and answers."""
    flow("time()")

    assert 0o600 == os.stat(flow.path).st_mode & 0o777


def test_recording_a_read_is_cheap(tmp_path):
    """Recording a read with its arguments and an answer of half a kilobyte takes less than 40 µs of CPU."""
    import msgspec

    from kosmolua.runtime.tape import JournalRequest

    journal = Journal(str(tmp_path / "x.journal"), HEAD)
    arguments, answer = msgspec.msgpack.encode({"prediction_id": "p" * 26}), msgspec.msgpack.encode({"a": "x" * 500})
    taken = []
    for each in range(7):
        began = time.process_time()
        for number in range(500):
            asked = JournalRequest(each, number, "get_prediction", "", arguments)
            assert journal.recall(asked, 1) is None
            journal.finish(journal.begin(asked, 0), answer, ok=True)
        taken.append((time.process_time() - began) / 500)
    journal.close()

    assert min(taken) < 40e-6


def test_damage_in_a_database_is_a_journal_error():
    """Damage in a journal without its own file, as in a database, gives an error with code and exit status."""
    with pytest.raises(JournalError, match="invalid data") as caught:
        decoded(b"\xc1")

    assert ("journal", 1) == (caught.value.code, caught.value.exit_status)
