"""The gate on the command line: rules, explanations, budgets, headers, the audit log, and a script's files."""

import json
import os
import re
import stat

import pytest
from recording_server import Answer

RULES = """
[replicate.permissions]
write = "allow"

[[replicate.rules]]
verdict = "deny"
functions = "delete_*"

[[replicate.rules]]
verdict = "ask"
functions = ["create_prediction"]
arguments = { model = "expensive/*" }
"""
CREATE = 'integrations.replicate.create_prediction{ version = "owner/name", input = {} }'


@pytest.fixture
def config_file(tmp_path):
    def write(text):
        path = tmp_path / "config" / "config.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)

    return write


@pytest.fixture
def configured(live, tmp_path, config_file):
    """Runs the command line with rules in its configuration."""
    config_file(RULES)
    return lambda *argv, **options: live(*argv, env={"KOSMO_CONFIG_DIR": str(tmp_path / "config")}, **options)


# Rules ------------------------------------------------------------------------------------------------------------


def test_rules_apply_to_commands_and_scripts(server, configured):
    """A command and a script get the same refusal, with the rule and its file."""
    for command in (
        ["integrations:call", "replicate.delete_file", '{"file_id": "f"}', "--json"],
        ["lua", "--json", "-e", 'integrations.replicate.delete_file{ file_id = "f" }'],
    ):
        ran = configured(*command)
        assert (3, "permission_denied") == (ran.status, ran.json["code"])
        assert "deny delete_*" in ran.json["error"]
        assert "config.toml, rule 1" in ran.json["error"]
    assert [] == server.requests


@pytest.mark.parametrize("verdict", ["deny", "ask"])
@pytest.mark.parametrize("access", ["read", "write"])
def test_the_hint_names_the_rule_that_decides(configured, config_file, tmp_path, verdict, access):
    """If a rule forbids a call, no flag but --force allows it, so the hint names the rule, its file and --force."""
    config_file(f'[[replicate.rules]]\nverdict = "{verdict}"\nfunctions = ["list_files", "delete_file"]\n')
    function, given = ("list_files", "{}") if access == "read" else ("delete_file", '{"file_id": "f"}')
    script = f"replicate.{function} {'{}' if access == 'read' else '{ file_id = [[f]] }'}"
    ways = (["integrations:call", f"replicate.{function}", given, "--json"], ["lua", "--json", "-e", script])
    for way in ways:
        ran = configured(*way, f"--{access}", "allow")
        assert ran.json["meta"]["hint"].startswith(f"change rule 1 in {tmp_path / 'config' / 'config.toml'}, or ")
        assert ran.json["meta"]["hint"].endswith("--force")
        assert "permission" not in str(configured(*way, "--force").json.get("code"))


@pytest.mark.parametrize(
    ("flags", "text", "hint"),
    [
        ((), '[replicate.permissions]\nwrite = "deny"', "--write allow, or always: kosmo integrations:configure"),
        (("--write", "deny"), "", "allow it for this command: --write allow, or --force"),
        (("--write", "deny"), '[[replicate.rules]]\nverdict = "allow"', "this command: --write allow, or --force"),
    ],
)
def test_the_hint_names_the_setting_that_decides(configured, config_file, flags, text, hint):
    """The hint names the configuration if that decided, and the flag if a flag decided."""
    config_file(text)
    ran = configured("integrations:call", "replicate.delete_file", '{"file_id": "f"}', "--json", *flags)

    assert hint in ran.json["meta"]["hint"]


def test_the_hint_names_the_projects_file(configured, config_file, tmp_path):
    """If an untrusted project's file forbids a call, the hint names that file; the rule's number also counts the rules
    that are ignored."""
    config_file('[replicate.permissions]\nwrite = "allow"')
    project = tmp_path / ".kosmo" / "config.toml"
    project.parent.mkdir()
    project.write_text('[replicate.permissions]\nwrite = "deny"')
    delete = ("integrations:call", "replicate.delete_file", '{"file_id": "f"}', "--json")
    denied = configured(*delete).json["meta"]["hint"]
    project.write_text('[[replicate.rules]]\nverdict = "allow"\n[[replicate.rules]]\nverdict = "deny"')

    always = f"always: change replicate.permissions.write in {project}"
    assert f"allow it for this command: --write allow, or {always}, or --force" == denied
    assert f"change rule 2 in {project}, or --force" == configured(*delete).json["meta"]["hint"]


def test_a_secret_needs_a_rule_with_its_name(configured):
    """No flag lets a script read the signing key, and the hint shows a rule that does."""
    ran = configured("lua", "--json", "-e", "replicate.get_default_webhook_secret {}", "--read", "allow")

    assert (
        'add a rule to config.toml with verdict = "allow" and functions = "get_default_webhook_secret"'
        in (ran.json["meta"]["hint"])
    )


def test_a_rule_on_a_model_applies_to_every_way_of_naming_it(server, configured):
    """A rule for a model applies no matter how the script names the model."""
    source = """
      local ok, e = pcall(integrations.replicate.create_prediction, { version = "Expensive/model:abc", input = {} })
      integrations.replicate.create_prediction{ version = "cheap/model", input = {} }
      return { ok, e.code }
    """
    ran = configured("lua", "--json", "-e", source)

    assert [False, "approval_required"] == ran.json["result"]
    assert 1 == len(server.requests)


@pytest.mark.parametrize(
    ("arguments", "verdict", "rule"),
    [
        (["replicate.delete_file"], "deny", "rule 1"),
        (["create_prediction", "--model", "expensive/x"], "ask", "rule 2"),
        (["create_prediction", "--model=cheap/x"], "allow", "write=allow"),
        (["create_prediction", "--version", "expensive/x:1"], "ask", "rule 2"),
        (["create_prediction"], "ask", "does not determine its model"),
        (["create_prediction", "--model", "cheap/x", "--write", "deny"], "deny", "--write"),
        (["get_account"], "allow", "default"),
    ],
)
def test_a_decision_is_explained(configured, arguments, verdict, rule):
    """The explanation shows the deciding rule without making a call, even if arguments are missing."""
    ran = configured("integrations:policy", "explain", *arguments, "--json")

    assert (0, verdict) == (ran.status, ran.json["verdict"])
    assert rule in ran.json["rule"]


def test_an_explanation_for_a_person(configured):
    """The explanation as text shows the verdict, the reason, and other matching rules."""
    ran = configured("integrations:policy", "explain", "replicate.create_prediction", "--model", "expensive/x")

    assert ran.out.startswith("ask: create_prediction\nrule: ask create_prediction where model=expensive/* (")
    assert "without a rule: write=allow" in ran.out


@pytest.mark.parametrize(
    ("argv", "needle"),
    [
        (["explain"], "missing function name"),
        (["explain", "replicate.create_predicton"], "did you mean create_prediction"),
        (["explian", "x"], "unknown action 'explian'"),
        (["list", "more"], "unexpected argument 'more'"),
        (["explain", "get_account", "--nope", "1"], "unknown argument 'nope'"),
    ],
)
def test_a_mistake_in_a_query_is_reported(configured, argv, needle):
    """The error for an invalid query has a hint that shows what to write instead."""
    ran = configured("integrations:policy", *argv)

    assert 2 == ran.status
    assert needle in ran.err
    assert "hint:" in ran.err


def test_rules_are_listed(configured):
    """Each rule is listed with its file, followed by the access classes."""
    ran = configured("integrations:policy", "list", "--json")

    assert ["deny", "ask", "allow", "allow"] == [rule["verdict"] for rule in ran.json["rules"]]
    assert configured("integrations:policy", "list").out.count("config.toml") == 3


def test_an_invalid_rule_stops_every_call(server, live, tmp_path, config_file):
    """An invalid rule is not ignored: every call ends with exit status 4 and names the rule's place."""
    config_file('[[replicate.rules]]\nverdict = "deny"\nfunctions = "delte_file"\n')
    ran = live("integrations:call", "replicate.get_account", env={"KOSMO_CONFIG_DIR": str(tmp_path / "config")})

    assert 4 == ran.status
    assert "rule 1: unknown function 'delte_file'; did you mean delete_file?" in ran.err
    assert [] == server.requests


# Budgets and headers ----------------------------------------------------------------------------------------------


def test_a_budget_ends_a_script(server, live):
    """The run ends with exit status 5 and the spending in the envelope, and sends no further request, even if the
    script catches errors."""
    source = f"for _ = 1, 20 do pcall(function() {CREATE} end) end {CREATE}"
    ran = live("lua", "--json", "--write", "allow", "--max-predictions", "3", "-e", source)

    assert (5, "limit_reached") == (ran.status, ran.json["code"])
    assert "--max-predictions" in ran.json["meta"]["hint"]
    assert 3 == ran.json["meta"]["spent"]["predictions"] == len(server.requests)
    assert {"predictions": 3} == ran.json["meta"]["budget"]


def test_a_running_prediction_is_reported_or_canceled(server, live):
    """After a failure, standard error names the command that cancels a running prediction; --cancel-on-exit cancels
    it."""
    server.default = Answer(201, b'{"id": "abc", "status": "starting"}')
    failing = f"{CREATE} error('oops')"
    told = live("lua", "--write", "allow", "-e", failing)
    assert "kosmo integrations:call replicate.cancel_prediction --prediction_id abc" in told.err

    server.requests.clear()
    live("lua", "--write", "allow", "--cancel-on-exit", "--max-calls", "1", "-e", failing)
    assert ["/v1/predictions", "/v1/predictions/abc/cancel"] == [request.target for request in server.requests]


def test_a_creation_without_an_answer_is_reported(server, live):
    """A create without an answer is reported, since its prediction may exist with an unknown id."""
    server.default = Answer(201, cut=5)
    ran = live("lua", "--write", "allow", "-e", CREATE)

    assert 1 == ran.status
    assert "may have been created without an answer" in ran.err
    assert "list_predictions" in ran.err


HEADER = "--@ needs: create_prediction\n--@ models: owner/*\n--@ max_predictions: 1\n"


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_script_is_limited_to_its_header(server, live, force):
    """Flags never allow more than the script's header."""
    source = f"""{HEADER}
      for i, call in ipairs{{
        function() {CREATE} end,
        function() integrations.replicate.get_account{{}} end,
        function() integrations.replicate.create_prediction{{ version = "other/model", input = {{}} }} end,
        function() {CREATE} end,
      }} do
        local ok, e = pcall(call)
        print(i, ok and "ok" or e.code)
      end
    """
    ran = live("lua", "--json", "--write", "allow", "--max-predictions", "9", *force, "-e", source)

    assert "1\tok\n2\tpermission_denied\n3\tpermission_denied\n" == ran.json["output"]
    assert (5, "limit_reached") == (ran.status, ran.json["code"])
    assert 1 == len(server.requests)


def test_explain_shows_the_header_without_running(server, live, tmp_path):
    """--explain shows what the script declares and may do, and runs nothing."""
    (tmp_path / "flow.lua").write_text(f"{HEADER}print('ran')\n{CREATE}\n")
    ran = live("lua", "--explain", "--json", "flow.lua")
    assert {"needs": ["create_prediction"], "models": ["owner/*"], "max_predictions": 1} == ran.json["declares"]
    assert [("create_prediction", "ask")] == [(f["function"], f["verdict"]) for f in ran.json["functions"]]

    shown = live("lua", "--explain", "flow.lua").out
    assert "models: owner/*" in shown
    assert "ran" not in shown.split()
    assert [] == server.requests


def test_a_wrong_header_stops_the_script(live, tmp_path):
    """The error for an invalid header names the line, and nothing of the script runs."""
    (tmp_path / "flow.lua").write_text("-- fine\n--@ max_call: 1\nprint('ran')\n")
    ran = live("lua", "flow.lua")

    assert (2, "") == (ran.status, ran.out)
    assert "flow.lua:2: unknown header key 'max_call'; did you mean max_calls?" in ran.err


# The audit log -------------------------------------------------------------------------------------------------------


def test_every_decision_is_recorded(live, configured, tmp_path):
    """Each call of a command or script is recorded with its caller and the reason for the decision, without arguments
    and without the token."""
    (tmp_path / "flow.lua").write_text(f"{CREATE.replace('{}', '{ text = [[private]] }')}\nreturn 1\n")
    configured("lua", "flow.lua")
    configured("integrations:call", "replicate.delete_file", '{"file_id": "f"}')
    entries = live("audit", "--json").json["entries"]

    assert [("create_prediction", "flow.lua", "ok"), ("delete_file", None, "refused")] == [
        (entry["function"], entry.get("script"), entry["outcome"]) for entry in entries
    ]
    assert entries[0]["digest"].startswith("sha256:")
    assert entries[0]["run"] != entries[1]["run"]
    path = live("audit", "--json").json["path"]
    assert 0o600 == stat.S_IMODE(os.stat(path).st_mode)
    with open(path) as file:
        assert not {"private", "r8_marked"} & set(file.read().split('"'))


def test_the_log_can_be_searched(live):
    """Entries can be found by function, time and run; the latest ones are shown."""
    for name in ("get_account", "list_files", "list_hardware"):
        live("integrations:call", f"replicate.{name}")
    run = live("audit", "--json").json["entries"][1]["run"]

    def found(*flags):
        return [entry["function"] for entry in live("audit", "--json", *flags).json["entries"]]

    assert ["list_files", "list_hardware"] == found("--function", "list_*")
    assert ["get_account"] == found("--function", "replicate.get_account")
    assert ["list_files"] == found("--run", run)
    assert ["list_hardware"] == found("--limit", "1")
    assert 3 == len(found("--since", "1h"))
    assert [] == found("--since", "2999-01-01")
    assert 2 == live("audit", "--since", "yesterday").status
    assert "get_account" in live("audit").out


def test_an_empty_log_names_its_file(live):
    """If the log is empty, the message names the log file."""
    assert "audit.jsonl" in live("audit").out


# Files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path):
    """A script with modules in the same directory, and a file."""
    folder = tmp_path / "project"
    (folder / "lib" / "text").mkdir(parents=True)
    (folder / "util.lua").write_text("local M = {}\nfunction M.fail()\n  error('oops')\nend\nreturn M\n")
    (folder / "lib" / "text" / "init.lua").write_text(
        "count = (count or 0) + 1\nreturn { name = ..., count = count }\n"
    )
    (folder / "bad.lua").write_text("return = 1\n")
    (folder / "loop.lua").write_text("return require('loop')\n")
    (folder / "code.lua").write_bytes(b"\x1bLJ\x02")
    (folder / "rain.txt").write_text("rain")
    (tmp_path / "secret.lua").write_text("return 'secret'\n")
    (folder / "link.lua").symlink_to(tmp_path / "secret.lua")
    return folder


def run_in(project, live, source, *flags):
    (project / "main.lua").write_text(source)
    return live("lua", "--json", *flags, "main.lua", cwd=project)


def test_a_script_requires_its_modules(project, live):
    """Modules in the script's directory are loaded once each; an error in a module has the line in that module."""
    ran = run_in(project, live, "return { require('lib.text').name, require('lib.text').count }", "--allow-read", ".")
    assert ["lib.text", 1] == ran.json["result"]

    ran = run_in(project, live, "local util = require 'util'\nutil.fail()", "--allow-read", ".")
    assert ("oops", "util.lua:3") == (ran.json["error"], ran.json["meta"]["where"])
    assert "util.lua:3 in 'fail'\nmain.lua:2 in main chunk" == ran.json["meta"]["traceback"]


@pytest.mark.parametrize(
    ("name", "needle"),
    [
        ("'nosuch'", "no module 'nosuch'"),
        ("'../secret'", "expected a module name"),
        ("'/etc/passwd'", "expected a module name"),
        ("'link'", "is not in a directory that the script may read from"),
        ("'bad'", "bad.lua:1: "),
        ("'loop'", "is still being loaded"),
        ("'code'", "is bytecode"),
        ("nil", "expected the name of a module, got nothing"),
    ],
)
def test_missing_modules_are_reported(project, live, name, needle):
    """A missing module is reported, and nothing outside the directory is read."""
    source = f"local _, e = pcall(require, {name}) return (e.where or '') .. ': ' .. e.message"
    ran = run_in(project, live, source, "--allow-read", ".")

    assert needle in ran.json["result"]


def test_without_a_directory_nothing_is_read(project, live):
    """Without an allowed directory, not even files next to the script are read; the refusal names the flag."""
    ran = run_in(project, live, "require 'util'")

    assert (3, "permission_denied") == (ran.status, ran.json["code"])
    assert "--allow-read" in ran.json["meta"]["hint"]


@pytest.mark.parametrize("isolation", ["standard", "strict", "none"])
def test_a_file_is_sent_by_its_path(server, project, live, isolation):
    """The host reads the file to be sent, and only from an allowed directory."""
    source = """
      integrations.replicate.create_file{ path = "rain.txt" }
      local ok, e = pcall(integrations.replicate.create_file, { path = "../secret.lua" })
      return e.code
    """
    ran = run_in(project, live, source, "--allow-read", ".", "--write", "allow", "--isolation", isolation)

    assert "permission_denied" == ran.json["result"]
    (request,) = server.requests
    assert b'filename="rain.txt"' in request.body
    assert b"\r\n\r\nrain\r\n" in request.body


def test_the_directories_may_be_configured(project, live, tmp_path, config_file):
    """Directories can be allowed in the user's configuration file; an untrusted project cannot allow one."""
    (project / ".kosmo").mkdir()
    (project / ".kosmo" / "config.toml").write_text('[files]\nread = ["."]\n')
    source = "return require('lib.text').name"
    assert 3 == run_in(project, live, source).status

    live("integrations:trust", cwd=project)
    assert "lib.text" == run_in(project, live, source).json["result"]
    live("integrations:trust", "--revoke", cwd=project)

    config_file(f'[files]\nread = ["{project}"]\n')
    (project / "main.lua").write_text(source)
    ran = live("lua", "--json", "main.lua", cwd=project, env={"KOSMO_CONFIG_DIR": str(tmp_path / "config")})
    assert "lib.text" == ran.json["result"]


def test_a_missing_directory_is_reported_first(live):
    """A missing directory is reported before the script runs."""
    ran = live("lua", "--allow-read", "nosuch", "-e", "print('ran')")

    assert (2, "") == (ran.status, ran.out)
    assert "--allow-read: no such directory: 'nosuch'" in ran.err


def test_a_run_cannot_erase_the_log(live, tmp_path):
    """Endless refusals of one script become one entry with a count, and entries of other runs are kept."""
    live("integrations:call", "replicate.get_account")
    loop = "for i = 1, 20000 do pcall(replicate.get_account) pcall(replicate.list_files) end"
    live("lua", "-e", loop, "--read", "deny", "--max-calls", "0")
    entries = live("audit", "--json").json["entries"]

    assert [("get_account", 1), ("get_account", 20_000), ("list_files", 20_000)] == [
        (entry["function"], entry.get("count", 1)) for entry in entries
    ]
    assert entries[1]["at"] < entries[1]["last"]
    table = live("audit").out.splitlines()
    assert (4, True) == (len(table), "20000" in table[2] and "refused permission_denied" in table[2])


FORGED = "x\n2026-01-01 00:00:00  ffffffffffff  delete_model  default  allow by person\tok 204\x1b[2K\u202e\u3164"


def test_names_cannot_forge_rows(live, tmp_path):
    """A script name with line ends, column separators and control characters is shown in one cell."""
    (tmp_path / FORGED).write_text("pcall(replicate.get_account, {}) replicate.list_files{}")
    live("lua", FORGED, "--no-check", "--read", "deny")
    ran = live("audit")
    rows = ran.out.removesuffix("\n").split("\n")

    assert len(rows) == 3 == 1 + len(live("audit", "--json").json["entries"])
    assert all(c.isprintable() and c != "\N{HANGUL FILLER}" for row in rows for c in row)
    for row in rows[1:]:
        *columns, script = re.split(" {2,}", row)
        assert len(columns) == 8
        assert script.startswith("x\\n2026-01-01 00:00:00 \\x20ffffffffffff \\x20delete_model")


def test_no_field_can_forge_rows(live):
    """Every field is shown in one cell, whatever the file contains."""
    path = live("audit", "--json").json["path"]
    os.makedirs(os.path.dirname(path))
    names = ("run", "function", "account", "decision", "by", "outcome", "code", "script")
    odd = {"at": 1e300, "duration_ms": FORGED, "count": FORGED, "outcomes": {FORGED: FORGED}}
    with open(path, "w") as file:
        file.writelines(json.dumps({"at": 1.5, "by": "policy", name: FORGED}) + "\n" for name in names)
        file.writelines(
            json.dumps({"at": 1.5, "outcome": "refused", name: value}) + "\n" for name, value in odd.items()
        )
    ran = live("audit")

    assert 0 == ran.status
    assert 1 + len(live("audit", "--json").json["entries"]) == len(ran.out.removesuffix("\n").split("\n"))
    assert all(c.isprintable() for c in ran.out.replace("\n", ""))


@pytest.mark.parametrize(
    "words",
    [
        ["lua", "--eval", "return 1"],
        ["lua", "--emulate", "--eval", "return 1"],
        ["repl"],
        ["mcp:serve"],
        ["integrations:replicate", "get_account"],
        ["integrations:replicate", "get_account", "--emulate"],
        ["integrations:status"],
        ["integrations:doctor", "replicate", "--offline"],
        ["integrations:policy", "list"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[replicate.permisions]\nwrite = 'deny'\n", "unknown key replicate.permisions (did you mean permissions?)"),
        ("[[replicate.rule]]\nverdict = 'deny'\n", "unknown key replicate.rule (did you mean rules?)"),
        ("[[replicate.rules]]\nverdict = 'deny'\nfunctions = 'creat_*'\n", "unknown function 'creat_*'"),
    ],
    ids=["table", "array", "rule"],
)
def test_an_unknown_setting_stops_every_command(live, server, tmp_path, words, text, message):
    """An unknown setting may be meant as a restriction, so no command runs and nothing is sent."""
    (tmp_path / ".kosmo").mkdir()
    (tmp_path / ".kosmo" / "config.toml").write_text(text)

    ran = live(*words, stdin=b"return 1")

    assert 4 == ran.status, ran.seen
    assert message in " ".join((ran.out + ran.err).split())  # a table wraps it
    assert [] == server.requests
