"""A session at the prompt with a journal replays answers, detects divergence, and continues."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import msgspec
import pytest
from recording_server import Answer
from waiting import wait_until

from kosmolua.gate import audit

GET = "integrations.replicate.get_prediction{ prediction_id = 'p' }"


def create(text="a"):
    return f"integrations.replicate.create_prediction{{ version = 'v', input = {{ text = '{text}' }} }}"


def creates(server):
    return [json.loads(each.body)["input"]["text"] for each in server.requests if each.method == "POST"]


def test_the_same_inputs_are_not_paid_for_again(prompt, server):
    """The inputs get their answers, random numbers and clock from the file, and continue live at its end."""
    inputs = [
        f"local p = {create()}",
        "print(math.random(1e9), time(), os.time(), os.clock())",
        f"p.id, {GET}.status",
        "for key in pairs{ b = 1, a = 2, c = 3 } do print(key) end",
    ]
    first = prompt()
    assert "0 calls; new calls are sent and recorded" in first(":journal s.journal")
    shown = first(*inputs)
    assert "a\nb\nc\n" in shown
    assert "s.journal: 5 calls; new calls are sent" in first(":journal")
    sent = len(server.requests)

    again = prompt()
    assert "5 calls; the next recorded answer is for\n  input 1, request 1: create_prediction {" in again(
        ":journal s.journal"
    )
    assert shown == again(*inputs)
    assert sent == len(server.requests)
    assert '"p"' in again(f"({create('b')}).id")
    assert ["a", "b"] == creates(server)


def test_a_saved_session_is_loaded_input_by_input(prompt, server, tmp_path):
    """Expressions, locals and failed inputs are entered again, without new requests."""
    server.answers.append(Answer(201, b'{"id": "p1"}'))
    server.answers.append(Answer(404, b'{"detail": "no such"}'))
    first = prompt()
    first(
        "local before = 1",
        ":journal s.journal",
        f"local p = {create()}",
        f"lost = p.id\nlocal q = {GET}",
        "p.id, lost",
        "nothing.there",
        "1 +",
        f"={GET}.id",
        "return function(x)\n  error('deep ' .. x)\nend",
        "_(1)",
    )
    assert "saved 5 inputs to s.lua, and 3 that failed" in first(":save s.lua")
    sent = len(server.requests)
    saved = (tmp_path / "s.lua").read_text()
    assert saved.startswith(
        f"-- in[1]\nlocal before = 1\n-- in[2]\nlocal p = {create()}\n"
        f"-- in[3] failed\n--| lost = p.id\n--| local q = {GET}\n-- in[4]\np.id, lost\n"
    )

    again = prompt()
    again(":journal s.journal")
    shown = again(":load s.lua")
    assert '"p1", "p1"' in shown.replace('"\n"', '", "')
    assert "no such" in shown
    assert "s.lua:16: deep 1\n  >   16 |   error('deep ' .. x)" in shown
    assert sent == len(server.requests)
    assert "3 calls; new calls are sent" in again(":journal")


def test_a_diverging_input_is_stopped(prompt, server):
    """The message has both sides and the next command; nothing is sent, the state is kept, and the right input may
    follow.
    """
    first = prompt()
    first(":journal s.journal", create("a"), create("b"))

    again = prompt()
    again(":journal s.journal", create("a"))
    shown = again(f"kept = 7 pcall(function() return {create('c')} end) kept = 8")
    assert "the input differs from its journal" in shown
    assert 'the journal: create_prediction {"input":{"text":"b"},"version":"v"}' in shown.replace(
        " on account default", ""
    )
    assert "the input:   create_prediction" in shown
    assert "s.journal --from-here" in shown
    assert "lost" not in shown
    assert "the input:   host.time" in again("pcall(time)")
    assert ["a", "b"] == creates(server)
    assert "\n7\n" in "\n" + again("kept")
    assert '"p"' in again(f"({create('b')}).id")
    assert ["a", "b"] == creates(server)
    again(create("d"))
    assert ["a", "b", "d"] == creates(server)


def test_an_input_with_fewer_requests_diverges(prompt, server):
    """An input that ends before its recorded requests is reported as diverging."""
    first = prompt()
    first(":journal s.journal", f"{create('a')} {create('b')}")

    again = prompt()
    shown = again(":journal s.journal", create("a"))
    assert "the input:   asks for nothing more" in shown
    assert ["a", "b"] == creates(server)
    assert "error" not in again(f"{create('a')} {create('b')}")
    assert ["a", "b"] == creates(server)


def test_from_here_cuts_the_file(prompt, server):
    """The file is cut at the divergence, in the same session or from its beginning."""
    first = prompt()
    first(":journal s.journal", create("a"), create("b"), create("c"))

    again = prompt()
    again(":journal s.journal", create("a"), create("x"), ":journal s.journal --from-here", create("x"), create("c"))
    assert ["a", "b", "c", "x", "c"] == creates(server)
    assert "s.journal: 3 calls; new calls are sent" in again(":journal")

    third = prompt("--journal", "s.journal")
    third(":journal s.journal", create("a"), create("x"), create("c"))
    assert ["a", "b", "c", "x", "c"] == creates(server)


def test_an_interrupt_is_recorded(prompt, server):
    """When entered again, the input ends at the same point; later inputs get their answers."""
    first = prompt()
    first(":journal s.journal")
    assert "interrupted" in first.interrupted(
        f"p = {create()} while true do n = (n or 0) + 1 sleep(0.01) end", lambda: server.requests
    )
    first(f"last = {create('b')} n = 0", ":save s.lua")

    again = prompt("--journal", "s.journal")
    again(":journal s.journal")
    shown = again(":load s.lua")
    assert 1 == shown.count("interrupted")
    assert '"p"' in again("last.id")
    assert ["a", "b"] == creates(server)
    again(create("c"))
    assert ["a", "b", "c"] == creates(server)


def test_a_dropped_answer_is_dropped_on_replay(prompt, server):
    """An answer after the interrupt was not assigned, so the replay drops it too."""
    first = prompt()
    first(":journal s.journal", create("a"))
    handler = first.shell.interpreter._port._handler

    def interrupting(function, *words):
        answer = handler(function, *words)
        first.shell.interpreter._flag.set(1)
        first.shell.interpreter._port.interrupted = True
        return answer

    first.shell.interpreter._port._handler = interrupting
    inputs = (f"got = {create('b')}", "got", f"got = {create('c')}")
    assert "interrupted" in first(inputs[0])
    first.shell.interpreter._port._handler = handler
    assert "nil\n" == first(inputs[1])
    first(inputs[2])

    again = prompt()
    again(":journal s.journal", create("a"))
    assert "interrupted" in again(inputs[0])
    assert "nil\n" == again(inputs[1])
    assert "error" not in again(inputs[2])
    assert ["a", "b", "c"] == creates(server)


def test_from_here_at_an_interrupted_input(prompt, server):
    """The new input is live to its end."""
    first = prompt()
    first(":journal s.journal")
    first.interrupted(f"{create('a')} while true do sleep(0.01) end", lambda: server.requests)
    first(create("b"))

    again = prompt()
    shown = again(":journal s.journal --from-here", f"{create('x')} {create('y')} return 'through'", create("b"))
    assert '"through"' in shown
    assert "error" not in shown
    assert ["a", "b", "x", "y", "b"] == creates(server)


def test_the_last_interrupted_input_continues(prompt, server):
    """If the journal has no later entries, the interrupted call is waited for again, and not paid for again."""
    waited = f"local p = {create()} while not done do sleep(0.01) done = {GET}.done end return 'done'"
    server.default = Answer(200, b'{"id": "p"}')
    first = prompt()
    first(":journal s.journal")
    assert "interrupted" in first.interrupted(waited, lambda: len(server.requests) > 3)

    server.default = Answer(200, b'{"id": "p", "done": true}')
    again = prompt()
    assert '"done"' in again(":journal s.journal", waited)
    assert ["a"] == creates(server)


def test_a_late_answer_is_dropped_on_replay_too(prompt, server):
    """A create that was left open is answered during later inputs, and the replay gives each input the same answers."""
    first = prompt()
    first(":journal s.journal")
    held, go_on = threading.Event(), threading.Event()
    ask = first.shell.calls.__class__.__call__

    def slowly(self, function, account, arguments, ticket=None):
        if function == "create_prediction" and b"late" in arguments:
            held.set()
            go_on.wait(10)
        return ask(self, function, account, arguments, ticket)

    first.shell.interpreter._port._handler = lambda *words: slowly(first.shell.calls, *words)
    first.interrupted(create("late"), held.is_set)
    first(create("between"))
    go_on.set()
    wait_until(lambda: first.shell.journals.current.answers >= 3)
    first(create("behind"))
    assert ["between", "late", "behind"] == creates(server)

    again = prompt()
    again(":journal s.journal")
    assert "interrupted" in again(create("late"))
    assert "error" not in again(create("between"), create("behind"))
    assert 3 == len(creates(server))


def test_tasks_are_replayed(prompt, server):
    """Concurrent tasks in consecutive inputs are replayed, also if one fails and leaves others open."""
    inputs = [
        f"ids = parallel({{ 1, 2, 3, 4 }}, function(n) sleep(0.001 * n) return ({create('x')}).id .. n end)",
        "race{ function() sleep(0.02) return 'slow' end, function() sleep(0.001) return 'fast' end }",
        f"parallel({{ 1, 2, 3 }}, function(n) if n == 2 then error('two') end sleep(0.01) return {GET} end)",
        "table.concat(ids, ' ')",
        f"spawn(function() mine = {create('y')} end)",
        "mine.id",
    ]
    first = prompt()
    first(":journal s.journal")
    shown = [first(text) for text in inputs]
    sent = len(server.requests)
    assert '"fast"' in shown[1]
    assert "two" in shown[2]

    again = prompt()
    again(":journal s.journal")
    assert shown == [again(text) for text in inputs]
    assert sent == len(server.requests)


def test_modules_are_loaded_again(prompt, tmp_path):
    """Modules may have been fixed since then. Their requests are answered from the file."""
    (tmp_path / "asking.lua").write_text(f"return {create('from a module')}.id .. ' first'")
    inputs = ("x = require('asking')", "x")
    first = prompt("--allow-read", str(tmp_path))
    assert '"p first"\n' == first(":journal s.journal", *inputs).rpartition("recorded\n")[2]

    (tmp_path / "asking.lua").write_text(f"return {create('from a module')}.id .. ' mended'")
    again = prompt("--allow-read", str(tmp_path))
    assert '"p mended"' in again(":journal s.journal", *inputs)


def test_loading_can_be_interrupted(prompt, server, tmp_path):
    """Ctrl-C also ends loading, even at an input that had failed when it was saved."""
    (tmp_path / "s.lua").write_text(f"-- in[1] failed\n--| {GET} while true do end\n-- in[2]\n{create()}\n")
    ctrl_c = lambda: os.kill(os.getpid(), signal.SIGINT)  # noqa: E731 - said once
    shown = prompt().interrupted(":load s.lua", lambda: server.requests, by=ctrl_c)

    assert "interrupted" in shown
    assert "1 later input in s.lua skipped" in shown
    assert [] == creates(server)


def test_a_reset_state_continues_the_journal(prompt, server):
    """The journal continues after `:reset` and after a lost state, and requests are answered again."""
    inputs = (create("a"), "kept = 1", ":reset", create("b"), "kept")
    first = prompt()
    shown = first(":journal s.journal", *inputs)
    assert "new Lua state" in shown
    assert shown.endswith("nil\n")
    first.shell.interpreter._child.kill()
    assert "the Lua process died" in first("1")
    first(create("c"))

    again = prompt()
    again(":journal s.journal", *inputs, create("c"))
    assert ["a", "b", "c"] == creates(server)


def test_a_journal_started_mid_session(prompt, server):
    """The next input is the journal's first; when it is closed and opened again, it restarts with the first."""
    session = prompt()
    session(create("before"), ":journal s.journal", create("a"))
    assert "s.journal is closed; calls are no longer recorded" in session(":journal off")
    session(create("unkept"))
    assert "no journal is open; open one: :journal FILE" in session(":journal")
    assert "1 call; the next recorded answer is for\n  input 1" in session(":journal s.journal")
    session(create("a"), create("b"))
    assert ["before", "a", "unkept", "b"] == creates(server)
    assert 4 == session.shell.calls.session().budget.spent()["predictions"]


def test_the_account_is_part_of_a_call(prompt, server, monkeypatch):
    """The journal continues after `:account`, and the same call with another account is another call."""
    monkeypatch.setenv("REPLICATE_API_KEY_WORK", "r8_other")
    first = prompt()
    first(":journal s.journal", create())

    again = prompt("--account", "work")
    shown = again(":journal s.journal", create())
    assert "the input:   create_prediction on account work" in shown
    assert 1 == len(creates(server))


def test_the_emulator_closes_the_journal(prompt):
    """`:emulate` closes the journal with a message, and the files of both are distinguished."""
    session = prompt()
    session(":journal s.journal")
    assert "s.journal is closed: its calls went to another API; calls are no longer recorded" in session(":emulate on")
    assert "s.journal belongs to a run against the API itself" in session(":journal s.journal")
    assert "no journal is open" in session(":journal")


def test_earlier_spending_counts(prompt):
    """Calls of earlier sessions count once towards a budget."""
    first = prompt()
    first(":journal s.journal", create("a"), create("b"))

    again = prompt("--max-predictions", "3")
    again(":journal s.journal", ":journal off", ":journal s.journal", create("a"), create("b"), create("c"))
    assert "3  of 3" in again(":budget")
    assert "the run reached its budget of 3 predictions" in again(create("d"))


def test_an_interrupted_create_is_looked_for(prompt, server):
    """The create is looked for before it is resent; if the result is unclear the person is asked, and can adopt one."""
    server.answers.append(Answer(201, cut=10))
    first = prompt()
    shown = first(":journal s.journal", f"first = {create('a')}")
    assert "error" in shown
    assert 1 == len(creates(server))

    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    alike = {"version": "v", "input": {"text": "a"}, "created_at": made, "status": "starting"}
    page = json.dumps({"results": [{**alike, "id": "p1"}, {**alike, "id": "p2"}], "next": None}).encode()
    server.answers.extend([Answer(body=b'{"username": "alice"}'), Answer(body=page)])
    again = prompt()
    shown = again(":journal s.journal", f"first = {create('a')}")
    assert "its result may be one of these: p1 of" in shown
    assert "hint: enter it again after :journal" in shown
    assert "s.journal --adopt ID to choose one of them" in shown
    assert "may be one of these" in again(create("other"))
    assert "no further calls are recorded or sent: create_prediction" in again(":journal")

    server.answers.extend([Answer(body=b'{"username": "alice"}'), Answer(body=page)])
    server.answers.append(Answer(body=json.dumps({**alike, "id": "p2"}).encode()))
    assert '"p2"' in again(":journal s.journal --adopt p2", f"first = {create('a')}", "first.id")
    assert ["a"] == creates(server)


def test_a_journal_that_cannot_be_written(prompt, server):
    """Nothing is sent, and each input says so until a new command; the state is kept."""
    session = prompt()
    session("kept = 7", ":journal s.journal", create("a"))
    session.shell.journals.current._journal._store._do("PRAGMA query_only = 1")
    shown = session(create("b"))
    assert "cannot use the journal" in shown
    assert "nothing of this call was sent" in shown
    shown = session("time()")
    assert "cannot use the journal" in shown
    assert "s.journal, or without a journal: :journal off" in shown
    assert "no further calls are recorded or sent" in session(":journal")
    assert "\n7\n" in "\n" + session("kept")
    assert ["a"] == creates(server)

    session(":journal s.journal", create("b"))
    assert ["a", "b"] == creates(server)
    assert "s.journal: 2 calls" in session(":journal")


def test_an_answer_that_cannot_be_written(prompt, server):
    """The lost answer is reported, and is looked for when the input is entered again with the reopened journal."""
    session = prompt()
    session(":journal s.journal")
    journal = session.shell.journals.current._journal
    intend = journal.intend

    def and_no_more(ticket, *reserve):
        intend(ticket, *reserve)
        journal._store._do("PRAGMA query_only = 1")

    journal.intend = and_no_more
    assert "the answer to create_prediction is not in it" in session(create("a"))
    made = {"id": "p", "version": "v", "input": {"text": "a"}, "status": "starting"}
    made["created_at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    server.answers.append(Answer(body=b'{"username": "alice"}'))
    server.answers.append(Answer(body=json.dumps({"results": [made], "next": None}).encode()))
    server.answers.append(Answer(body=json.dumps(made).encode()))
    assert "error" not in session(":journal s.journal", create("a"))
    assert ["a"] == creates(server)


def test_a_journal_in_use_is_refused(prompt, tmp_path):
    """A file that another process uses is refused, and the current journal remains open."""
    session = prompt()
    session(":journal mine.journal")
    holding = (
        "import sys; from kosmolua.journal.lock import Holder; h = Holder(sys.argv[1]); print(1, flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", holding, str(tmp_path / "s.journal")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        other.stdout.readline()
        shown = session(":journal s.journal")
    finally:
        other.communicate(b"\n")

    assert f"another run holds the journal {tmp_path}/s.journal: process {other.pid}" in shown
    assert "mine.journal: 0 calls" in session(":journal")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (":journal off", "no journal is open\nhint: Open one: :journal FILE"),
        (
            ":journal s.journal --form-here",
            "expected :journal FILE [--from-here | --adopt ID | --send-again | --fresh], or :journal",
        ),
        (":journal --from-here", "name the file first"),
        (":journal s.journal --adopt", "expected :journal FILE"),
        (":journal s.journal --adopt 'x", "expected :journal FILE"),
        (":journal no/such/place.journal", "cannot write"),
        (":journal plain.txt", "not a journal file; choose another path"),
        (":journal a\0b", "argument of :journal contains a NUL byte"),
        (":load a\0b", "argument of :load contains a NUL byte"),
        (":log \u00b2", "expected :log or :log COUNT"),
        (f":log {'1' * 5000}", "expected :log or :log COUNT"),
        ("return '\udce9'", "the input is not UTF-8"),
        (":journal \udce9", "the input is not UTF-8"),
        ("local a\nerror({ message = 'x', where = 'in[1]:\u00b2' })", "in[1]:\u00b2: x"),
        (":jornal s.journal", "did you mean :journal?"),
    ],
)
def test_invalid_commands_are_reported(prompt, tmp_path, text, words):
    """The message says what was expected and what to do."""
    (tmp_path / "plain.txt").write_text("some text, and no database\n" * 100)
    assert words in prompt()(text)


def test_an_invalid_data_url(prompt):
    """A data URL with any characters instead of Base64 is an error."""
    for text in ("\u00e9", "AAA", "*"):
        shown = prompt()(f"return 'data:image/png;base64,{text}'", ":show")
        assert "invalid Base64 in the data URL" in shown


def test_text_from_a_journal_is_escaped(prompt, tmp_path):
    """The file has names from a script process, which are escaped."""
    prompt()(":journal s.journal", "time()")
    again = prompt()
    with closing(sqlite3.connect(tmp_path / "s.journal")) as file:
        file.execute("UPDATE outcomes SET function = char(27) || '[2J'")
        file.commit()
    shown = again(":journal s.journal", ":journal", "time()")

    assert 3 == shown.count("\\x1b[2J")
    assert "\x1b" not in shown


def test_account_names_are_escaped(prompt):
    """Account names from the script process are logged without control characters."""
    session = prompt()
    port = session.shell.interpreter._port
    port.submit(msgspec.msgpack.encode(["call", 1, True, "\x1b[2J", "get_account", {}]))
    wait_until(port.take)
    shown = session(":log")

    assert "\\x1b[2J" in shown
    assert "\x1b" not in shown


def test_a_dry_run_records_nothing(prompt):
    """In a dry run there is nothing to record."""
    assert "a journal cannot be combined with --dry-run" in prompt("--dry-run")(":journal s.journal")


def test_scripts_and_prompts_use_separate_journals(prompt, capsys):
    """The error names the command that continues the other's file."""
    from kosmolua import cli

    session = prompt()
    session(":journal s.journal", create())
    assert 0 == cli.main(["lua", "-e", "return time()", "--journal", "script.journal"])
    shown = session(":journal script.journal")
    assert "belongs to a run of the script eval, not to a session at the prompt" in shown
    assert "kosmo runs resume" in shown
    session.shell.journals._detach(session.shell.journals.current, None)

    for command in (["lua", "-e", "return 1", "--journal", "s.journal"], ["runs", "resume", "./s.journal"]):
        capsys.readouterr()
        assert 1 == cli.main(command)
        assert "kosmo repl --journal" in capsys.readouterr().err

    cli.main(["runs", "show", "./s.journal"])
    shown = capsys.readouterr().out
    assert "the prompt" in shown
    assert "1:0.1" in shown
    cli.main(["runs", "export", "./s.journal"])
    entry = json.loads(capsys.readouterr().out)
    assert (1, 0, 1, "create_prediction") == tuple(entry[name] for name in ("input", "task", "request", "function"))
    cli.main(["runs", "list"])
    assert "the prompt" in capsys.readouterr().out


def test_no_input_can_read_the_sessions_files(prompt, server, tmp_path):
    """An input reaches neither its journal, even a later one, nor the product's configuration, whatever is open."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "credentials.json").write_text("r8_OfTheOwner")
    session = prompt("--allow-read", ".", "--allow-write", ".")
    assert "size = 1" in session("return download('data:,x', 'a.txt')")
    session(":journal s.journal")
    for path, why in (("s.journal", "the journal of this session"), ("s.journal-wal", "the journal of this session"),
                      ("config/credentials.json", "kosmolua's configuration directory")):  # fmt: skip
        for attempt in (f"download('data:,x', '{path}')",
                        f"integrations.replicate.create_file{{ path = '{path}' }}"):  # fmt: skip
            shown = session(attempt)
            assert f"'{path}' is not available to scripts: it " in shown
            assert why in shown

    assert "r8_OfTheOwner" == (tmp_path / "config" / "credentials.json").read_text()
    assert [] == [each for each in server.requests if b"OfTheOwner" in each.body]


def test_no_input_can_erase_the_log(prompt, tmp_path, monkeypatch):
    """Endless refusals become one entry with a count when the session is closed."""
    monkeypatch.setenv("KOSMO_STATE_DIR", str(tmp_path / "state"))
    session = prompt("--read", "deny")
    session("for _ = 1, 3000 do pcall(replicate.get_account) end", "pcall(replicate.get_account)")
    prompt()  # closes the previous session

    (entry,) = audit.merged(audit.read(audit.file_of(os.environ)))
    assert 3001 == entry["count"]
