"""`kosmo lua --wait-for-approval` and `kosmo approvals` without a database."""

import getpass
import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import approval_kills
import pytest
from recording_server import Answer
from waiting import wait_until

from kosmolua.settings import paths

SCRIPT = """
print("begun")
local ok, found = pcall(replicate.create_prediction, { version = args[1], input = { text = args[2] } })
return ok and found.id or found
"""
MADE = b'{"id": "p1", "status": "succeeded", "output": "x"}'
WAITS = 6


@pytest.fixture
def flow(server, live, tmp_path):
    """Runs the script with a journal and --wait-for-approval; the words are the script's arguments."""
    server.default = Answer(201, MADE)
    (tmp_path / "flow.lua").write_text(SCRIPT)

    def run(*words, flags=()):
        words = words or ("v" * 64, "hello")
        return live("lua", "--journal", "J", "--wait-for-approval", *flags, "--json", "flow.lua", "--", *words)

    return run


@pytest.fixture
def configured(tmp_path):
    """Writes the section [approvals] of the configuration file."""

    def write(*lines):
        place = tmp_path / ".config" / "kosmolua"
        place.mkdir(parents=True, exist_ok=True)
        (place / "config.toml").write_text("\n".join(["[approvals]", *lines]))

    return write


def stored():
    """The file in which approvals are stored."""
    return Path(paths.state_directory(os.environ)) / "approvals.sqlite"


def asked(live):
    """The open approvals."""
    return live("approvals", "list", "--json").json["approvals"]


def test_nobody_is_asked_about_a_call_over_its_budget(flow, live, server):
    """A call that a limit of the run refuses ends the run with the limit, before a question is stored."""
    ran = flow(flags=("--max-predictions", "0"))

    assert (5, "limit_reached") == (ran.status, ran.json["code"])
    assert ([], []) == (asked(live), server.requests)


def test_a_run_ends_with_status_6_until_its_call_is_approved(flow, live, server):
    """A run that waits for approval ends with status 6. After the approval the same command sends the call once."""
    first = flow()
    (one,) = asked(live)
    again = flow()

    assert (WAITS, "waiting", WAITS) == (first.status, first.json["code"], again.status)
    assert f"kosmo approvals approve {one['id']}" in first.json["meta"]["hint"]
    assert [one] == asked(live)
    assert [] == server.requests
    assert ("waiting", one["run"]) == (one["state"], live("runs", "list", "--json").json["runs"][0]["id"])

    assert 0 == live("approvals", "approve", one["id"], "--reason", "fine").status
    done = flow()

    assert ("p1", "begun\n") == (done.json["result"], done.json["output"])
    assert ["POST"] == [each.method for each in server.requests]
    assert "p1" == flow().json["result"]
    assert 1 == len(server.requests)
    shown = live("approvals", "show", one["id"], "--json").json["approval"]
    assert ("approved", getpass.getuser(), "fine") == (shown["status"], shown["decided_by"], shown["reason"])
    assert shown["used_at"]


def test_resume_waits_for_the_decision_too(flow, live, server):
    """The hint names `kosmo runs resume`, which also waits for the decision."""
    flow()
    (one,) = asked(live)
    live("approvals", "approve", one["id"])

    assert "p1" == live("runs", "resume", one["run"], "--json").json["result"]


def test_a_denial_is_an_error_with_its_reason(flow, live, server):
    """The script gets an error with the code, the reason and the name of who denied the call; nothing is sent."""
    flow()
    (one,) = asked(live)
    live("approvals", "deny", one["id"], "--reason", "too dear")
    found = flow().json["result"]

    denial = f"create_prediction: {getpass.getuser()} denied approval {one['id']}: too dear"
    assert ("permission_denied", denial) == (found["code"], found["message"])
    assert [] == server.requests


def test_a_decision_holds_for_exactly_one_call(flow, live, server, tmp_path):
    """A call with other arguments needs another approval, and so does a second call with the same arguments."""
    flow()
    (one,) = asked(live)
    live("approvals", "approve", one["id"])
    (tmp_path / "flow.lua").write_text(SCRIPT.replace("text = args[2]", "text = args[2] .. '!'"))
    edited = flow()
    (other,) = asked(live)

    assert WAITS == edited.status
    assert other["digest"] != one["digest"]
    live("approvals", "approve", other["id"])
    twice = SCRIPT.replace("text = args[2]", "text = args[2] .. '!'").replace("return ok", "CALL return ok")
    call = "replicate.create_prediction{ version = args[1], input = { text = args[2] .. '!' } }"
    (tmp_path / "flow.lua").write_text(twice.replace("CALL", call))
    second = flow()

    assert (WAITS, 1, 1) == (second.status, len(server.requests), len(asked(live)))


def test_an_approval_expires(flow, live, server):
    """After its expiry time, a question counts as denied and can no longer be approved."""
    flow(flags=("--approval-timeout", "1s"))
    (one,) = live("approvals", "list", "--all", "--json").json["approvals"]
    wait_until(lambda: not asked(live))
    late = live("approvals", "approve", one["id"])

    assert (2, f"error: approval {one['id']} is already expired\n") == (late.status, late.err.splitlines(True)[0])
    assert f"create_prediction: approval {one['id']} expired" == flow().json["result"]["message"]


def test_a_rule_is_saved_on_request(flow, live, tmp_path):
    """`--rule` saves a rule that allows such calls in the future."""
    flow()
    (one,) = asked(live)
    approved = live("approvals", "approve", one["id"], "--rule", "--json")

    assert approved.json["rules_in"] == str(tmp_path / ".config" / "kosmolua" / "config.toml")
    assert "v" * 64 in (tmp_path / ".config" / "kosmolua" / "config.toml").read_text()
    explained = live("integrations:policy", "explain", "replicate.create_prediction", "--version", "v" * 64)
    assert "allow: create_prediction" == explained.out.splitlines()[0]


def test_who_may_decide(flow, live, configured):
    """The configuration names the approvers, allows approving one's own runs, and allows acting for others."""
    user = getpass.getuser()
    flow()
    (one,) = asked(live)
    refusals = {}
    for line in ('approvers = ["somebody-else"]', "own = false", 'approvers = ["group:no-such-group"]', "own = true"):
        configured(line)
        words = ("--as", "ana") if line == "own = true" else ()
        ran = live("approvals", "approve", one["id"], *words)
        refusals[line] = (ran.status, ran.err.splitlines()[0])

    assert refusals == {
        'approvers = ["somebody-else"]': (
            3,
            f"error: {user} may not decide this: not among approvals.approvers (somebody-else)",
        ),
        "own = false": (3, f"error: {user} may not decide this: the submitter of a run may not approve it"),
        'approvers = ["group:no-such-group"]': (
            3,
            f"error: {user} may not decide this: not among approvals.approvers (group:no-such-group)",
        ),
        "own = true": (3, f"error: --as 'ana': {user} may not decide on behalf of others"),
    }
    configured("own = false", f'act_as = ["{user}"]')
    decided = live("approvals", "approve", one["id"], "--as", "ana", "--json").json["approvals"][0]
    assert ("ana", user) == (decided["decided_by"], decided["acting"])


def test_approvers_can_be_limited_for_one_run(flow, live, configured, server):
    """--approvers limits who may decide this and all later questions of the run, however the run is resumed."""
    user = getpass.getuser()
    configured('approvers = ["ana", "@finance"]', f'act_as = ["{user}"]', 'groups = { finance = ["bo", "cy"] }')
    flow(flags=("--approvers", "@finance"))
    (one,) = asked(live)
    flow(flags=("--approvers", "ana,bo"))
    shown = live("approvals", "show", one["id"])
    refused = [live("approvals", "approve", one["id"], *words) for words in ((), ("--as", "ana"), ("--as", "@finance"))]
    assert 0 == live("approvals", "approve", one["id"], "--as", "cy").status
    used = flow(flags=("--approvers", "bo"))

    assert ["@finance"] == one["approvers"]
    assert "may decide      @finance\n" in shown.out
    among = "not among the approvers of this run (@finance)"
    assert [each.err.splitlines()[0] for each in refused] == [
        f"error: {user} may not decide this: not among approvals.approvers (ana, @finance)",
        f"error: ana may not decide this: {among}",
        "error: @finance may not decide this: not among approvals.approvers (ana, @finance)",
    ]
    denial = f"the configuration denied approval {one['id']}: cy may not approve it"
    assert denial in used.json["result"]["message"]
    assert [] == server.requests


def test_a_resumed_run_keeps_its_approvers(live, configured, tmp_path, server):
    """A run that is resumed without --approvers keeps the approvers it was started with."""
    user = getpass.getuser()
    configured(f'act_as = ["{user}"]', 'groups = { finance = ["bo"] }')
    server.default = Answer(201, MADE)
    made = 'replicate.create_prediction{ version = ("v"):rep(64), input = { n = %d } }'
    (tmp_path / "two.lua").write_text(f"{made % 1} {made % 2}")
    live("lua", "--journal", "J", "--wait-for-approval", "--approvers", "@finance", "two.lua")
    (first,) = asked(live)
    live("approvals", "approve", first["id"], "--as", "bo")
    live("runs", "resume", "J")
    (second,) = asked(live)

    assert (["@finance"], 3) == (second["approvers"], live("approvals", "approve", second["id"]).status)
    assert 1 == len(server.requests)


@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        (("--approvers", "zoe"), 2, "--approvers: 'zoe' is not among approvals.approvers; expected some of: ana"),
        (("--approvers", "@zoe"), 2, "--approvers: '@zoe' is not among approvals.approvers; expected some of: ana"),
        (("--approvers", "ana,"), 2, "--approvers: expected up to 100 names separated by commas, got 'ana,'"),
    ],
)
def test_unknown_approvers_are_refused(flow, live, configured, flags, status, message):
    """An approver who is not configured gives an error before the script runs, which lists the configured ones."""
    configured('approvers = ["ana"]')
    ran = flow(flags=flags)

    assert (status, message) == (ran.status, ran.json["error"])
    assert [] == asked(live)


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("worker", "--approvers", "zoe"), 2, "'zoe' is not among approvals.approvers; expected some of: ana, USER"),
        (("submit", "--eval", "return 1", "--approvers", "ana,@zoe"), 2, "'@zoe' is not among approvals.approvers;"),
        (
            ("submit", "--eval", "return 1", "--approvers", "USER"),
            3,
            "USER: USER submits the run, so another person must approve it",
        ),
    ],
)
def test_invalid_approvers_of_workers_and_submitted_runs_are_refused(live, configured, words, status, message):
    """Approvers of a worker or a submitted run are checked at the start. People who name only themselves for their own
    run are refused."""
    user = getpass.getuser()
    configured(f'approvers = ["ana", "{user}"]')
    ran = live(*(each.replace("USER", user) for each in words))

    assert status == ran.status
    assert f"error: --approvers: {message.replace('USER', user)}" in ran.err


def test_approvers_require_waiting_for_approval(live):
    """The flag --approvers is refused without --wait-for-approval."""
    ran = live("lua", "--journal", "J", "--approvers", "ana", "--eval", "return 1")

    assert (2, "error: --approvers needs --wait-for-approval") == (ran.status, ran.err.splitlines()[0])


def test_questions_stored_by_an_earlier_version_are_open_to_anybody(flow, live, server):
    """In an approvals file from an earlier version, anybody can still decide the open questions."""
    flow()
    with closing(sqlite3.connect(stored())) as file:
        for column in ("approvers", "own", "narrowed"):
            file.execute(f"ALTER TABLE approvals DROP COLUMN {column}")
    (one,) = asked(live)
    assert 0 == live("approvals", "approve", one["id"]).status

    assert (None, None, "p1") == (one["approvers"], one["own"], flow().json["result"])


def test_a_project_cannot_name_approvers(flow, live, tmp_path):
    """Approvers in an untrusted project file are ignored."""
    (tmp_path / ".kosmo").mkdir()
    (tmp_path / ".kosmo" / "config.toml").write_text("[approvals]\nact_as = ['*']\nnotify = ['touch', 'told']\n")
    ran = flow()

    assert "ignored approvals: the file is not trusted" in ran.err
    assert not (tmp_path / "told").exists()


def test_a_person_is_notified_by_a_command(flow, live, configured, tmp_path):
    """The configured command gets the question as JSON, without a shell and without the token; if the command fails, a
    notice is printed."""
    told = tmp_path / "told"
    program = f"import sys, os; open({str(told)!r}, 'w').write(sys.stdin.read() + ' '.join(os.environ))"
    configured(f"notify = [{sys.executable!r}, '-c', {json.dumps(program)}]")
    ran = flow()
    (one,) = asked(live)

    assert WAITS == ran.status
    message, names = told.read_text().rsplit("}", 1)
    found = json.loads(message + "}")
    assert ("approval.asked", one["id"]) == (found["event"], found["approval"]["id"])
    assert "REPLICATE_API_KEY" not in names


def test_a_person_is_notified_by_a_request(flow, live, configured, server):
    """The configured URL gets the question in a POST request; redirects are not followed."""
    configured(f'notify = "{server.url}/told"')
    server.routes["/v1/told"] = Answer(200)
    flow()
    (one,) = asked(live)

    (sent,) = server.requests
    assert ("POST", "/v1/told", one["id"]) == (sent.method, sent.target, json.loads(sent.body)["approval"]["id"])


def test_secrets_are_not_shown(live, server, tmp_path):
    """Stored questions contain neither the token nor text that looks like one."""
    text = 'replicate.create_prediction{ version = ("v"):rep(64), input = { key = "r8_other", own = "is r8_marked" } }'
    live("lua", "--journal", "J", "--wait-for-approval", "--eval", text)
    (one,) = asked(live)

    assert {"key": "[hidden]", "own": "is [hidden]"} == one["arguments"]["input"]
    state = stored()
    assert 0o600 == state.stat().st_mode & 0o777
    assert b"r8_marked" not in state.read_bytes()


def test_a_script_cannot_reach_its_approvals(flow, live, tmp_path):
    """A script cannot open the approvals file, even if the whole home directory is allowed."""
    flow()
    state = stored()
    path = json.dumps(str(state))
    text = f"print(pcall(function() return file({path}):read() end)) print(pcall(append_file, {path}, 'x'))"
    home = str(tmp_path)
    ran = live("lua", "--allow-read", home, "--allow-write", home, "--eval", text)

    assert 2 == ran.out.count("false"), (ran.out, ran.err)
    assert 2 == ran.out.count("kosmolua"), ran.out
    assert 1 == len(asked(live))


def test_waiting_for_approval_requires_a_journal(live):
    """--wait-for-approval is refused without a journal, since the run could not be continued."""
    ran = live("lua", "--wait-for-approval", "--eval", "return 1")

    assert (2, "error: --wait-for-approval needs --journal") == (ran.status, ran.err.splitlines()[0])


def test_incomplete_commands_name_what_is_missing(live):
    """The error for an incomplete command names what is missing."""
    failures = [
        (words, live("approvals", *words).status)
        for words in (["show"], ["approve"], ["list", "x"], ["show", "x"], ["deny", "x", "--rule"], ["undo", "x"])
    ]

    assert {2} == {status for _, status in failures}, failures


def test_processes_are_killed_around_questions_decisions_and_requests(tmp_path, monkeypatch):
    """After ten rounds of approval_kills.py, each approved call was sent once and only after its approval, and nothing
    else was sent."""
    monkeypatch.delenv("KOSMO_STATE_DIR")
    events = approval_kills.go(tmp_path, 10, seed=20)

    assert 10 == events["status 0"]
    assert events["status -9"] > 0


def test_a_download_that_a_rule_asks_about_waits_too(live, tmp_path):
    """A run waits for approval at a download too, if a rule asks about it; nothing is written before the approval."""
    place = tmp_path / ".config" / "kosmolua"
    place.mkdir(parents=True)
    (place / "config.toml").write_text('[[replicate.rules]]\nverdict = "ask"\nfunctions = "download"\n')
    script = 'download("data:text/plain;base64,aGVsbG8=", "out.txt") return "saved"'
    words = ["lua", "--journal", "J", "--wait-for-approval", "--allow-write", ".", "--json", "--eval", script]
    first = live(*words)
    (one,) = asked(live)

    assert (WAITS, "download", False) == (first.status, one["function"], (tmp_path / "out.txt").exists())
    live("approvals", "approve", one["id"])
    assert ("saved", "hello") == (live(*words).json["result"], (tmp_path / "out.txt").read_text())


DAMAGES = {
    "a decision that is bytes": "UPDATE approvals SET decision = x'ff'",
    "arguments that are bytes": "UPDATE approvals SET arguments = x'5b'",
    "text that is not UTF-8": "UPDATE approvals SET why = CAST(x'ff' AS TEXT)",
    "an endless time": "UPDATE approvals SET expires_at = 9e999",
    "a time of another era": "UPDATE approvals SET asked_at = 1e300",
    "a cost that is text": "UPDATE approvals SET estimate = 'much'",
    "a journal that is bytes": "UPDATE approvals SET journal = x'ff'",
    "another table": "DROP TABLE approvals; CREATE TABLE approvals (run, task, request, digest, asked_at, id)",
    "no database": "",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_of_approvals_is_a_plain_error(damage, flow, live, server):
    """If another program has written into the approvals file, each command reports the damage without a traceback, and
    nothing is sent."""
    flow()
    (one,) = asked(live)
    if DAMAGES[damage]:
        with closing(sqlite3.connect(stored())) as file:
            file.executescript(DAMAGES[damage])
    else:
        stored().write_bytes(b"no database" * 1000)
    ran = [live("approvals", *words) for words in (["list"], ["show", one["id"]], ["approve", one["id"]])] + [flow()]

    assert [] == [each.err for each in ran if "stack:" in each.err or "bug in kosmolua" in each.err + each.out]
    assert [] == server.requests


def test_a_reason_that_is_not_text(flow, live):
    """Bytes of a reason that are not UTF-8 are stored as question marks."""
    flow()
    (one,) = asked(live)
    live("approvals", "deny", one["id"], "--reason", "no\udcff")

    assert "no?" == live("approvals", "show", one["id"], "--json").json["approval"]["reason"]


def test_names_and_arguments_that_are_not_utf_8(live, server, tmp_path):
    """A script's name may contain bytes that are not UTF-8, which its journal and its approval show as question marks.
    Its arguments may not."""
    (tmp_path / "fl\udcff.lua").write_text(SCRIPT)
    flags = ("--journal", "J", "--wait-for-approval", "--json")
    refused = live("lua", *flags, "fl\udcff.lua", "--", "v" * 64, "a\udcff")
    ran = live("lua", *flags, "fl\udcff.lua", "--", "v" * 64, "a")
    (one,) = asked(live)

    assert ([2, WAITS], []) == ([refused.status, ran.status], server.requests)
    assert str(tmp_path / "fl?.lua") == one["script"]


def test_the_open_questions_of_a_run_are_bounded(live, server):
    """A run that asks more than 1,000 open questions ends; nothing is sent."""
    one = "function() replicate.create_file { content = 'a', filename = 'n' .. i } end"
    script = f"for i = 1, 1001 do spawn({one}) end"
    ran = live("lua", "--journal", "J", "--wait-for-approval", "--json", "--eval", script)

    assert (5, "limit_reached") == (ran.status, ran.json["code"])
    assert (1000, []) == (len(live("approvals", "list", "--all", "--json").json["approvals"]), server.requests)


def test_the_current_configuration_decides_who_approves(flow, live, configured, server):
    """A question that was asked while the configuration forbade its user to approve can be approved once it does not,
    and the run checks it again.
    """
    configured("own = false")
    flow()
    (one,) = asked(live)
    configured("own = true")
    approved = live("approvals", "approve", one["id"])

    assert (False, 0, 0) == (one["own"], approved.status, flow().status)
    assert 1 == len(server.requests)
