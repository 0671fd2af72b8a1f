"""One function called from a shell: its request, its answer, the output format and the exit status."""

import base64
import json
import os
import re
import subprocess
import sys

import pytest
from recording_server import Answer

from kosmolua.replicate.catalogue import OPERATIONS

CALL, SHORT = "integrations:call", "integrations:replicate"
ENVELOPE = {"function", "success", "data", "error", "code", "meta", "duration_ms"}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_function_by_both_names(server, live, operation):
    """Each function sends the same request under its short and its full name, through both commands."""
    flags = ("--json", "--read=allow", "--write=allow")
    example = json.dumps(operation.example)

    by_call = live(CALL, f"replicate.{operation.full_name}", example, *flags)
    by_shortcut = live(SHORT, operation.name, *flags, stdin=example.encode())

    assert (0, 0) == (by_call.status, by_shortcut.status)
    assert f"replicate.replicate_{operation.name}" == by_call.json["function"] == by_shortcut.json["function"]
    first, second = server.requests
    assert (first.method, first.target) == (second.method, second.target)
    if operation.content_type != "multipart/form-data":
        assert first.body == second.body


def test_the_envelope(server, live):
    """A successful call prints every field of the envelope, with the decision and the rule that made it."""
    server.default = Answer(body=b'{"username": "acme"}', headers={"X-Request-Id": "r1"})

    envelope = live(CALL, "replicate.get_account", "--json").json

    assert envelope.keys() == ENVELOPE
    assert envelope["success"] is True
    assert {"username": "acme"} == envelope["data"]
    assert (None, None) == (envelope["error"], envelope["code"])
    assert {
        "operation": "account.get", "account": "default", "access": "read", "decision": "allow", "by": "policy",
        "rule": "read=allow (default)", "dry_run": False, "emulated": False, "status": 200, "request_id": "r1",
    } == envelope["meta"]  # fmt: skip


def test_a_failure_has_the_same_envelope(server, live):
    """An API error is an envelope with its code, and exit status 1; standard error stays empty."""
    server.default = Answer(404, body=b'{"detail": "no such thing"}')

    ran = live(CALL, "replicate.get_prediction", "--prediction_id=x", "--json")

    assert (1, "") == (ran.status, ran.err)
    assert ran.json.keys() == ENVELOPE
    assert (False, None, "not_found") == (ran.json["success"], ran.json["data"], ran.json["code"])
    assert "get_prediction: 404 Not Found: no such thing" == ran.json["error"]
    assert 404 == ran.json["meta"]["status"]
    assert "check the spelling of x, and that the account may see it" == ran.json["meta"]["hint"]


def test_the_error_for_a_missing_model_suggests_a_search(server, live):
    """The error for a model that does not exist suggests a search, with the name quoted for a shell."""
    server.default = Answer(404, body=b'{"detail": "no such thing"}')

    ran = live(CALL, "replicate.get_model", "--model_owner=a", "--model_name=flux schnel", "--json")

    assert "find similar models: kosmo models search 'flux schnel'" in ran.json["meta"]["hint"]


def test_a_token_given_as_an_id_is_not_shown(server, live):
    """The error names the object that was not found, unless its name looks like a token."""
    server.default = Answer(404, body=b'{"detail": "no such thing"}')
    token = "r8_" + "x" * 37

    ran = live(CALL, "replicate.get_prediction", f"--prediction_id={token}", "--json")

    assert "not_found" == ran.json["code"]
    assert token not in ran.out + ran.err


def test_without_json_only_the_data_is_printed(server, live):
    """Without --json, only the answer's data is printed."""
    server.answers += [
        Answer(body=b'{"a": null, "b": [], "c": {}, "d": 9007199254740993}'),
        Answer(body="# Héllo".encode(), headers={"Content-Type": "text/plain"}),
        Answer(body=b"\x89PNG\xff", headers={"Content-Type": "image/png"}),
        Answer(204, body=b""),
    ]
    model = ("--model_owner=a", "--model_name=b")
    link = ("--file_id=f", "--owner=o", "--expiry=1", "--signature=s")

    assert {"a": None, "b": [], "c": {}, "d": 9007199254740993} == live(SHORT, "get_account").json
    assert "# Héllo\n" == live(SHORT, "get_model_readme", *model).out
    assert b"\x89PNG\xff" == live(SHORT, "download_file", *link).raw
    assert (0, "", "") == live(SHORT, "delete_model", *model, "--write=allow").seen


def test_bytes_in_an_envelope(server, live):
    """In an envelope bytes are base64, with their size."""
    server.default = Answer(body=b"\x89PNG\xff", headers={"Content-Type": "image/png"})

    data = live(SHORT, "download_file", "--file_id=f", "--owner=o", "--expiry=1", "--signature=s", "--json").json[
        "data"
    ]

    assert (b"\x89PNG\xff", 5) == (base64.b64decode(data["base64"]), data["size"])


def test_an_answer_can_go_to_a_file(server, live, tmp_path):
    """--output writes the bytes to a file and reports their number."""
    server.default = Answer(body=b"\x89PNG\xff", headers={"Content-Type": "image/png"})
    flags = ("--file_id=f", "--owner=o", "--expiry=1", "--signature=s", "--output", "out.png")

    assert (0, "", "wrote 5 bytes to out.png\n") == live(SHORT, "download_file", *flags).seen
    assert b"\x89PNG\xff" == (tmp_path / "out.png").read_bytes()


def test_all_pages(server, live):
    """--all follows the cursors and returns one list; links in the results are never requested."""
    port = server.port
    server.answers += [
        Answer(body=f'{{"next": "http://127.0.0.1:{port}/elsewhere?cursor=c2%3D", "results": [1, 2]}}'.encode()),
        Answer(body=b'{"next": "null", "previous": null, "results": [3]}'),
    ]

    ran = live(SHORT, "list_predictions", "--created_after=2026-01-01", "--all")

    assert {"next": None, "previous": None, "results": [1, 2, 3]} == ran.json
    assert [
        "/v1/predictions?created_after=2026-01-01", "/v1/predictions?created_after=2026-01-01&cursor=c2%3D",
    ] == [request.target for request in server.requests]  # fmt: skip


def test_pages_that_lead_away_or_in_circles(server, live):
    """A next page that is on another host, or that was already read, ends the call with an error."""
    server.default = Answer(body=b'{"next": "https://evil.example/?cursor=x", "results": []}')
    assert "is on another host" in live(SHORT, "list_files", "--all").err

    server.default = Answer(body=f'{{"next": "{server.url}/files?cursor=x", "results": []}}'.encode())
    ran = live(SHORT, "list_files", "--all")
    assert (1, True) == (ran.status, "the pages form a cycle" in ran.err)


def test_a_dry_run_sends_nothing(server, live):
    """A dry run prints the request without the token, and sends nothing."""
    ran = live(
        CALL, "replicate.create_prediction", "--version=v", "--input.n=1", "--prefer", "wait=5", "--dry-run", "--json"
    )

    assert (0, []) == (ran.status, server.requests)
    assert ("POST", f"{server.url}/predictions") == (ran.json["data"]["method"], ran.json["data"]["url"])
    assert {"version": "v", "input": {"n": 1}} == ran.json["data"]["body"]
    assert "wait=5" == ran.json["data"]["headers"]["Prefer"]
    assert "r8_marked" not in ran.out
    assert ("ask", True) == (ran.json["meta"]["decision"], ran.json["meta"]["dry_run"])


def test_an_upload_from_a_path(server, live, tmp_path):
    """--path uploads the file under its name."""
    (tmp_path / "cat.png").write_bytes(b"\x89PNG\xff")

    assert 0 == live(SHORT, "create_file", "--path", "cat.png", "--write", "allow").status
    assert b'filename="cat.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\xff\r\n' in server.requests[0].body


@pytest.mark.parametrize(
    ("function", "tokens", "status", "code"),
    [
        ("get_acount", (), 2, "unknown_function"),
        ("get_prediction", (), 2, "invalid_arguments"),
        ("get_prediction", ("--id=x",), 2, "invalid_arguments"),
        ("get_prediction", ("[]",), 2, "usage"),
        ("get_prediction", ("{}", "{}"), 2, "usage"),
        ("get_prediction", ('{"prediction_id": 5}',), 2, "invalid_arguments"),
        ("search", ('{"query": "x", "limit": 51}',), 2, "invalid_arguments"),
        ("create_prediction", ('{"version": "v", "input": {}}',), 3, "approval_required"),
        ("delete_file", ('{"file_id": "x"}', "--write", "deny"), 3, "permission_denied"),
        ("get_account", ("--read", "deny"), 3, "permission_denied"),
        ("get_account", ("--account", "work"), 4, "not_configured"),
    ],
)
def test_refusals_reach_no_server(server, live, function, tokens, status, code):
    """Invalid or denied calls are refused with a code and an exit status before anything is sent."""
    ran = live(CALL, f"replicate.{function}", *tokens, "--json")

    assert (status, code, False) == (ran.status, ran.json["code"], ran.json["success"])
    assert [] == server.requests


def test_an_empty_payload_names_what_is_missing(live):
    """All missing parameters are named at once."""
    ran = live(CALL, "replicate.replicate_create_deployment", "{}", "--json")

    assert (
        "create_deployment: missing `name`, `model`, `version`, `hardware`, `min_instances`, `max_instances`"
        == ran.json["error"]
    )


def test_force_bypasses_only_the_policy(server, live):
    """--force bypasses ask and deny, but not validation or a missing token."""
    arguments = '{"version": "v", "input": {}}'

    assert 0 == live(CALL, "replicate.create_prediction", arguments, "--force", "--write", "deny").status
    assert "force" == live(CALL, "replicate.create_prediction", arguments, "--force", "--json").json["meta"]["by"]
    assert 2 == live(CALL, "replicate.create_prediction", "{}", "--force").status
    assert 4 == live(CALL, "replicate.create_prediction", arguments, "--force", env={"REPLICATE_API_KEY": ""}).status
    assert 2 == len(server.requests)


def test_force_as_a_value_is_a_value(server, live):
    """A word that looks like a flag is a value if a value is expected."""
    ran = live(CALL, "replicate.create_prediction", "--version", "--force", "--input", "{}", "--json")

    assert (3, "approval_required") == (ran.status, ran.json["code"])
    assert [] == server.requests


def test_the_own_token_variable_takes_precedence(server, kosmo):
    """The program's own token variable takes precedence over those of other clients."""
    both = {"REPLICATE_URL": server.url, "REPLICATE_API_KEY": "r8_first", "REPLICATE_API_TOKEN": "r8_second"}
    kosmo(SHORT, "get_account", env=both)
    kosmo(SHORT, "get_account", env={**both, "REPLICATE_API_KEY": ""})
    none = kosmo(SHORT, "get_account", "--json", env={"REPLICATE_URL": server.url})

    assert ["Bearer r8_first", "Bearer r8_second"] == [r.headers["authorization"] for r in server.requests]
    assert (4, "not_authenticated") == (none.status, none.json["code"])


def test_a_token_that_the_api_refuses(server, live):
    """An expired token gives the same exit status as a missing one, and the hint names the next step."""
    server.default = Answer(401, body=b'{"title": "Unauthenticated", "detail": "expired"}')

    ran = live(CALL, "replicate.get_account")

    assert 4 == ran.status
    assert "401 Unauthenticated: expired" in ran.err
    assert "export REPLICATE_API_KEY" in ran.err


@pytest.mark.parametrize(
    ("argv", "stdin", "words"),
    [
        (["integrations:call"], None, "missing function name"),
        (["integrations:cal"], None, "did you mean integrations:call?"),
        (["nonsense"], None, "unknown command 'nonsense'"),
        ([CALL, "replicate.get_prediction"], b'{"a": "\xff"}', "standard input is not valid JSON: not UTF-8"),
        ([CALL, "replicate.get_prediction", "-"], b"[]", "standard input: expected a JSON object"),
        (
            [CALL, "replicate.get_prediction"],
            b'{"prediction_id": ',
            "standard input is not valid JSON: Input data was",
        ),
        ([SHORT, "get_account", "--fault", "500"], None, "--fault needs --emulate"),
        ([SHORT, "get_account", "--emulate", "--fault", "nonsense"], None, "nonsense"),
        ([SHORT, "get_account", "--output", "/no/such/dir/x", "--emulate"], None, "cannot write '/no/such/dir/x'"),
    ],
)
def test_bad_input_is_a_sentence(kosmo, argv, stdin, words):
    """An invalid command line is reported in one sentence with a hint, without a traceback, with exit status 2."""
    ran = kosmo(*argv, stdin=stdin, env={"REPLICATE_API_KEY": "x"})

    assert (2, "") == (ran.status, ran.out)
    assert words in ran.err
    assert "Traceback" not in ran.err
    assert ran.err.startswith("error: ")


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "http://api.example/v1"])
def test_invalid_urls(kosmo, url):
    """The error for an invalid URL names the variable that contains the URL, and has the status of a missing
    configuration."""
    ran = kosmo(SHORT, "get_account", env={"REPLICATE_API_KEY": "x", "REPLICATE_URL": url})

    assert (4, True) == (ran.status, "REPLICATE_URL" in ran.err)


@pytest.mark.parametrize("argv", [["--help"], [CALL, "--help"], ["run", "--help"], ["lua", "--help"], [SHORT]], ids=str)
def test_help_in_a_narrow_terminal(kosmo, argv):
    """Help text wraps between words at the width of the terminal; command lines are not broken."""
    text = kosmo(*argv, env={"COLUMNS": "60"}).out.partition("\nexample:")[0]
    wide = [line for line in text.splitlines() if len(line) > 60]

    assert [] == [line for line in wide if not line.startswith("  kosmo ") and not line.lstrip().startswith("[--")]


def test_help(kosmo):
    """Help is printed on standard output, with an example; a function's help names its parameters."""
    for argv in (
        ["--help"],
        [CALL, "--help"],
        [SHORT, "--help"],
        ["integrations:lua", "--help"],
        ["emulator:serve", "-h"],
    ):
        ran = kosmo(*argv)
        assert (0, "") == (ran.status, ran.err)
        assert "kosmo " in ran.out
    assert "--prediction-id" in kosmo(CALL, "replicate.get_prediction", "--help").out
    assert 37 == len(re.findall(r"^  \w+ +(read|write) ", kosmo(SHORT).out, re.MULTILINE))
    assert kosmo("--version").out.startswith("kosmolua ")


class Pages:
    """A list with the given number of pages, each with the given results."""

    keep, cut = True, None

    def __init__(self, count, results):
        self._left, self._results = count, results

    def encode(self):
        self._left -= 1
        link = f"https://api.replicate.com/v1/predictions?cursor=c{self._left}" if self._left > 0 else None
        return Answer(body=json.dumps({"next": link, "previous": None, "results": self._results}).encode()).encode()


ITEM = {"id": "p\u00e9", "a": [], "b": {}, "c": [1, {"d": "e\nf"}], "f": "the pages"}


@pytest.mark.parametrize("results", [[], [ITEM], [ITEM, ITEM, 3]], ids=len)
def test_pages_are_printed_as_one(server, live, tmp_path, results):
    """The output for several pages is that of one page with all results, in each format."""
    whole = {"next": None, "previous": None, "results": results * 3}
    text = json.dumps(whole, indent=2, ensure_ascii=False)
    forms = {"text": (), "json": ("--json",), "file": ("--output", "a.json")}
    ran = {}
    for name, flags in forms.items():
        server.default = Pages(3, results)
        ran[name] = live(SHORT, "list_predictions", "--all", *flags)

    assert f"{text}\n" == ran["text"].out
    assert whole == ran["json"].json["data"]
    assert ["function", "success", "data", "error", "code", "meta", "duration_ms"] == list(ran["json"].json)
    assert 1 == ran["json"].out.count("\n")
    assert text == (tmp_path / "a.json").read_text()


def test_a_failed_page_prints_only_the_error(server, live):
    """If a page fails, the output is one error object without the earlier pages."""
    server.answers.append(Pages(2, [ITEM]))
    server.default = Answer(404, b'{"detail": "gone"}')
    ran = live(SHORT, "list_predictions", "--all", "--json")

    assert (1, False, None) == (ran.status, ran.json["success"], ran.json["data"])


def test_many_pages_take_little_memory(server):
    """300 pages with 60 MB of results are buffered on disk, and the process needs a fraction of that in memory."""
    program = """
import resource, sys
from kosmolua.cli import main
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert 0 == main(["integrations:replicate", "list_predictions", "--all", "--json"])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, file=sys.stderr)
"""
    server.default = Pages(300, [{"id": "p", "output": "x" * 1000}] * 200)
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "REPLICATE_URL": server.url, "REPLICATE_API_KEY": "r8_x"},
        check=True,
        capture_output=True,
        text=True,
    )

    assert 60_000 == len(json.loads(ran.stdout)["data"]["results"])
    assert int(ran.stderr) < 45
