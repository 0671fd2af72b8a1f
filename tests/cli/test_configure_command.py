"""The commands configure, status, trust and doctor, for scripts, agents and people."""

import json
import os

import pytest
from recording_server import Answer
from test_terminal import Terminal

CONFIGURE, DOCTOR, STATUS, TRUST = (
    "integrations:configure",
    "integrations:doctor",
    "integrations:status",
    "integrations:trust",
)
TOKEN = "r8_marked_token_for_configuring"


def configured(kosmo, **fields):
    ran = kosmo(CONFIGURE, "--stdin-json", "--json", stdin=json.dumps(fields).encode())
    assert (0, "") == (ran.status, ran.err), ran.seen
    return ran.json


def checks(ran):
    return {check["check"]: check for check in ran.json["checks"]}


def test_json_on_standard_input(kosmo):
    """JSON on standard input can set everything that flags can. The answer reports what was changed and where, without
    the token."""
    answer = configured(
        kosmo, account="work", credentials={"api_key": TOKEN}, set={"url": "https://w.example/v1"}, enabled=True,
        permissions={"write": "allow"}, scope="global",
    )  # fmt: skip

    assert ["api_key", "url", "enabled", "permissions.write"] == answer["changed"]
    assert ("work", "global", "file", []) == (
        answer["account"],
        answer["scope"],
        answer["storage"],
        answer["warnings"],
    )


def test_a_token_on_the_command_line_works_and_warns(kosmo):
    """A token on the command line is accepted with one warning, on standard error and in the answer."""
    ran = kosmo(CONFIGURE, "replicate", "--set", f"api_key={TOKEN}", "--json")

    assert 0 == ran.status
    assert 1 == ran.err.count("use --stdin-json")
    assert 1 == len(ran.json["warnings"])
    assert TOKEN not in ran.out + ran.err


def test_permissions_as_a_list(kosmo):
    """--permissions sets the policies for reads and writes, and --write overrides the latter."""
    assert 0 == kosmo(CONFIGURE, "--permissions", "read:ask, write:deny", "--write", "allow").status
    permissions = kosmo(STATUS, "--json").json["providers"][0]["permissions"]

    assert ("ask", "allow") == (permissions["read"]["value"], permissions["write"]["value"])


WRONG = {
    "nothing": ([], b"", "nothing to configure"),
    "provider": (["replicat", "--enable"], b"", "did you mean replicate?"),
    "flag": (["--enabel"], b"", "did you mean --enable?"),
    "key": (["--set", "apikey=x"], b"", "no field 'apikey'"),
    "no value": (["--set", "api_key="], b"", "api_key is empty"),
    "no equals sign": (["--set", TOKEN], b"", "expected KEY=VALUE"),
    "verdict": (["--write", "maybe"], b"", "invalid choice: 'maybe'"),
    "permissions": (["--permissions", "wirte:ask"], b"", "got wirte:ask"),
    "enabled and disabled": (["--enable", "--disable"], b"", "not allowed with"),
    "url": (["--set", "url=nonsense"], b"", "expected a URL"),
    "account": (["--account", "a/b", "--enable"], b"", "for an account name"),
    "not JSON": (["--stdin-json"], TOKEN.encode(), "standard input is not valid JSON"),
    "not an object": (["--stdin-json"], b"[]", "Expected `object`, got `array`"),
    "field": (["--stdin-json"], b'{"acount": "x"}', "unknown field `acount`"),
    "type": (["--stdin-json"], b'{"enabled": "yes"}', "at `$.enabled`"),
    "input verdict": (["--stdin-json"], b'{"permissions": {"write": "alow"}}', "Invalid enum value 'alow'"),
    "input access": (["--stdin-json"], b'{"permissions": {"wirte": "ask"}}', "got wirte:ask"),
    "scope": (["--stdin-json"], b'{"scope": "universe"}', "universe"),
    "empty input": (["--stdin-json"], b"", "standard input is not valid JSON"),
}


@pytest.mark.parametrize(("argv", "stdin", "why"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_mistakes_are_one_sentence(kosmo, argv, stdin, why, form):
    """A mistake gives status 2 without a traceback or the token, and nothing is written."""
    ran = kosmo(CONFIGURE, *argv, *form, stdin=stdin)

    assert 2 == ran.status, ran.seen
    assert why in (ran.json["error"] if form else ran.err)
    assert "Traceback" not in ran.err
    assert TOKEN not in ran.out + ran.err


def test_a_person_is_asked(server, tmp_path):
    """On a terminal the token is not echoed, and empty answers change nothing."""
    terminal = Terminal(
        CONFIGURE,
        environment={
            "HOME": str(tmp_path),
            "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere",
            "NO_COLOR": "1",
            "REPLICATE_URL": server.url,
        },
    )
    terminal.wait_for("API Token")
    terminal.type(f"{TOKEN}\n")
    terminal.wait_for("API Base URL")
    terminal.type("\n")
    terminal.wait_for("allow, ask or deny (")
    terminal.type("maybe\n")
    terminal.wait_for("expected allow, ask or deny")
    terminal.type("deny\n")
    status = terminal.finish()
    terminal.close()

    assert 0 == status, terminal.screen
    assert TOKEN not in terminal.screen
    assert "the token is stored in a file that only you can read" in terminal.screen
    text = (tmp_path / ".config" / "kosmolua" / "config.toml").read_text()
    assert 'write = "deny"' in text
    assert "url" not in text


def test_status_on_a_terminal(server, tmp_path):
    """On a terminal the status is colored, and text from a project's file cannot control the terminal."""
    where = tmp_path / "\x1b[2J"
    file = where / ".kosmo" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[replicate]\nurl = "https://x.test"\n')
    environment = {"HOME": str(tmp_path), "TERM": "xterm", "NO_COLOR": ""}
    terminal = Terminal(STATUS, environment=environment, cwd=where)
    status = terminal.finish()
    terminal.close()

    assert 0 == status
    assert "\x1b[1mreplicate\x1b[0m" in terminal.screen
    assert "\\x1b[2J/.kosmo/config.toml: ignored replicate.url" in terminal.screen
    assert "\x1b[2J" not in terminal.screen


def test_an_account_is_used_by_every_command(server, kosmo):
    """Calls, shortcuts and scripts use the account's token and URL; the token from the environment belongs to the
    default account."""
    configured(kosmo, account="work", set={"api_key": "r8_work", "url": server.url})
    environment = {"REPLICATE_API_KEY": "r8_default"}
    script = "integrations.replicate.work.get_account{} return integrations.replicate.work.list_models{} and 1"

    assert 0 == kosmo("integrations:call", "replicate.get_account", "--account", "work", env=environment).status
    assert 0 == kosmo("integrations:replicate", "get_account", "--account=work", env=environment).status
    assert 0 == kosmo("lua", "--eval", script, env=environment).status
    assert 0 == kosmo(DOCTOR, "--account", "work", env=environment).status
    assert {"Bearer r8_work"} == {request.headers["authorization"] for request in server.requests}
    assert 5 == len(server.requests)


@pytest.mark.parametrize("name", ["wrok", "'; rm -rf"])
def test_an_unknown_account(kosmo, name):
    """The error for an unknown account suggests the nearest name or lists all, and says how to configure an account."""
    configured(kosmo, account="work", set={"api_key": "r8_work"})
    ran = kosmo("integrations:call", "replicate.get_account", "--account", name, "--json")

    assert (4, "not_configured") == (ran.status, ran.json["code"])
    assert "work" in ran.json["error"]
    assert "integrations:configure replicate --account" in ran.json["meta"]["hint"]


def test_a_disabled_provider_sends_nothing(kosmo, live, server):
    """With a disabled provider nothing is sent, even with --force, and the error names the command that enables it."""
    kosmo(CONFIGURE, "--disable")
    for argv in (["get_account"], ["get_account", "--force"]):
        ran = live("integrations:replicate", *argv, "--json")

        assert (4, "not_configured") == (ran.status, ran.json["code"])
        assert "--enable" in ran.json["meta"]["hint"]
    assert [] == server.requests


def test_a_project_can_only_tighten_until_it_is_trusted(kosmo, live, server, tmp_path):
    """Until a project's file is trusted, each command reports the settings it ignored and the command that trusts the
    file."""
    file = tmp_path / ".kosmo" / "config.toml"
    file.parent.mkdir()
    file.write_text('[replicate]\nurl = "http://127.0.0.1:1/v1"\n[replicate.permissions]\nwrite = "allow"\n')
    create = ["integrations:replicate", "create_prediction", '{"version": "v", "input": {}}']
    ran = live(*create)

    assert 3 == ran.status
    assert "kosmo integrations:trust" in ran.err
    shown = kosmo(STATUS, "--json").json
    assert (False, "ask") == (
        shown["files"]["project"]["trusted"],
        shown["providers"][0]["permissions"]["write"]["value"],
    )
    assert 'write = "allow"' in kosmo(TRUST).out
    assert 0 == live(*create).status
    file.write_text(file.read_text().replace("127.0.0.1", "127.0.0.2"))
    assert 3 == live(*create).status
    assert 1 == len(server.requests)
    assert 0 == kosmo(TRUST, "--revoke", "--json").status


def test_nothing_to_trust(kosmo):
    """Without a project file, trust gives an error with the command that creates one."""
    ran = kosmo(TRUST, "--json")

    assert 2 == ran.status
    assert "--project" in ran.json["meta"]["hint"]


def test_status_says_where_each_value_is_from(kosmo, tmp_path):
    """The status names the flag or file that each value comes from, for people and for machines."""
    configured(kosmo, permissions={"write": "allow"})
    provider = kosmo(STATUS, "--json", env={"REPLICATE_URL": "https://e.example/v1"}).json["providers"][0]

    assert {"value": "https://e.example/v1", "origin": "REPLICATE_URL"} == provider["url"]
    assert {"value": "allow", "origin": "default"} == provider["permissions"]["read"]
    path = os.path.join(str(tmp_path), ".config", "kosmolua", "config.toml")
    assert {"value": "allow", "origin": path} == provider["permissions"]["write"]
    assert path in kosmo(STATUS).out


def test_doctor_passes_every_check(live, server):
    """With a working configuration all checks run in order, and the status is 0."""
    server.default = Answer(200, b'{"type": "user", "username": "ada"}')
    ran = live(DOCTOR, "replicate", "--json")

    assert (0, True) == (ran.status, ran.json["success"])
    assert [
        "provider", "enabled", "credential", "url", "certificates", "reachable", "token", "policy", "keyring", "luajit",
        "isolation", "emulator",
    ] == [check["check"] for check in ran.json["checks"]]  # fmt: skip
    assert "accepted, as ada" == checks(ran)["token"]["message"]
    layers = live("lua", "--json", "-e", "").json["meta"]["isolation"]["layers"]
    assert f"a separate process with {', '.join(layers)}" in checks(ran)["isolation"]["message"]
    assert "ada" in live(DOCTOR).out


def test_doctor_names_missing_layers():
    """The sandbox check names what does not work without the missing layers."""
    from kosmolua.host.doctor import _isolation

    check = _isolation(["landlock"])
    assert check.ok is None
    assert "process, rlimits, no_new_privs, seccomp; not available: landlock: " in check.message
    assert "--isolation strict fails on this machine" == check.next
    assert _isolation([]).ok


@pytest.mark.parametrize("quotes", ['""', "''", "\u201c\u201d"])
def test_doctor_checks_the_form_of_the_token(live, server, quotes):
    """A token in quotation marks fails the check before a request is made, also with --offline."""
    ran = live(DOCTOR, "--offline", "--json", env={"REPLICATE_API_KEY": f"{quotes[0]}r8_marked{quotes[1]}"})

    assert (4, []) == (ran.status, server.requests)
    assert checks(ran)["credential"]["message"].startswith("the API token has quotes around it")


def test_doctor_with_the_emulator_shows_no_settings_of_the_api(live, server):
    """With --emulate, doctor queries the emulator, reports that all calls are allowed, and shows no settings of the
    API."""
    ran = live(DOCTOR, "--emulate", "--json")
    told = checks(ran)

    assert (0, []) == (ran.status, server.requests)
    assert "the emulator answers" == told["reachable"]["message"]
    assert "read=allow (emulator); write=allow (emulator)" == told["policy"]["message"]
    assert server.url not in ran.out
    assert "write=ask (--write)" in checks(live(DOCTOR, "--emulate", "--write", "ask", "--json"))["policy"]["message"]


def test_the_summary_says_what_was_removed(kosmo):
    """The summary reports a removed account or value as removed, not as changed."""
    stored = b'{"account": "work", "set": {"api_key": "r8_marked_work"}, "storage": "file"}'
    kosmo(CONFIGURE, "replicate", "--stdin-json", stdin=stored)
    removed = kosmo(CONFIGURE, "replicate", "--account", "work", "--remove")
    kosmo(CONFIGURE, "replicate", "--set", "url=https://e.example/v1")
    unset = kosmo(CONFIGURE, "replicate", "--unset", "url", "--enable")

    assert (0, True) == (removed.status, "account work and its token removed from " in removed.out)
    assert "changed" not in removed.out
    assert "replicate, account default: enabled changed, url removed in " in unset.out


def test_doctor_offline_sends_nothing(live, server):
    """Checks that need the network are reported as skipped."""
    ran = live(DOCTOR, "--offline", "--json")

    assert (0, []) == (ran.status, server.requests)
    assert (None, None) == (checks(ran)["reachable"]["ok"], checks(ran)["token"]["ok"])


def test_doctor_names_what_fails(kosmo, live, server):
    """The first failed check decides the exit status, and each failed check names the command to run."""
    server.default = Answer(401, b'{"title": "Unauthenticated", "detail": "no"}')

    assert ("token", 4) == failing(live(DOCTOR, "--json"))
    assert ("credential", 4) == failing(kosmo(DOCTOR, "--offline", "--json"))
    assert ("url", 4) == failing(kosmo(DOCTOR, "--json", env={"REPLICATE_URL": "nonsense", "REPLICATE_API_KEY": "r8"}))
    assert ("policy", 3) == failing(live(DOCTOR, "--offline", "--json", "--read", "deny", "--write", "deny"))
    kosmo(CONFIGURE, "--disable")
    assert ("enabled", 4) == failing(live(DOCTOR, "--offline", "--json"))
    assert "did you mean replicate?" in kosmo(DOCTOR, "replicte").err


def failing(ran):
    assert ran.json["success"] is False
    found = [check for check in ran.json["checks"] if check["ok"] is False]
    assert found[0]["next"]
    return found[0]["check"], ran.status


def test_doctor_stops_at_an_invalid_file(kosmo, tmp_path):
    """Doctor names an invalid configuration file and stops, since further checks would be guesses."""
    path = tmp_path / ".config" / "kosmolua" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("[replicate")

    assert ("configuration", 4) == failing(kosmo(DOCTOR, "--json"))


@pytest.mark.parametrize("command", [CONFIGURE, DOCTOR, STATUS, TRUST])
def test_help_shows_an_example(kosmo, command):
    """The help is printed on standard output with an example, with status 0."""
    ran = kosmo(command, "--help")

    assert (0, "") == (ran.status, ran.err)
    assert f"example:\n  kosmo {command}" in ran.out


def test_the_first_dialog(server, tmp_path):
    """The first dialog names the web page for tokens, does not offer to keep a value, and checks the new token."""
    server.default = Answer(body=b'{"type": "user", "username": "ada"}')
    environment = {"REPLICATE_URL": server.url, "KOSMO_CONFIG_DIR": str(tmp_path / "first"), "TERM": "xterm"}
    terminal = Terminal(
        CONFIGURE, environment={**environment, "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}, cwd=tmp_path
    )
    terminal.wait_for("API Token: ")
    assert "Get an API token: https://replicate.com/account/api-tokens" in terminal.screen
    terminal.type(f"{TOKEN}\n")
    terminal.wait_for("API Base URL (Enter for https://api.replicate.com/v1): ")
    assert "to keep" not in terminal.screen
    terminal.type("\n")
    terminal.wait_for("allow, ask or deny (")
    terminal.type("\n")
    status = terminal.finish()
    terminal.close()

    assert 0 == status, terminal.screen
    assert "checked: the token belongs to ada" in terminal.screen


@pytest.mark.parametrize("token", ['"r8_quoted"', "'r8_quoted'", "“r8_quoted”"])
def test_a_token_in_quotes(kosmo, token):
    """The error for a token in quotation marks does not show the token."""
    ran = kosmo("integrations:replicate", "get_account", env={"REPLICATE_API_KEY": token})

    assert 4 == ran.status
    assert "the API token has quotes around it" in ran.err
    assert "docker --env-file" in ran.err
    assert "r8_quoted" not in ran.err


def test_the_check_of_an_account_names_it(kosmo):
    """The command that checks what was configured is for the account that was configured."""
    for flags, command in (
        ((), "kosmo integrations:doctor replicate\n"),
        (("--account", "w2"), "kosmo integrations:doctor replicate --account w2\n"),
    ):
        ran = kosmo(
            CONFIGURE, "replicate", *flags, "--stdin-json", stdin=b'{"set": {"api_key": "r8_a"}, "storage": "file"}'
        )

        assert ran.out.endswith(command), ran.err
