"""A failure in the host is an ordinary error at every interface, and the interface continues to work."""

import json
import os
import resource
import subprocess
import sys
from contextlib import suppress

import pytest
from recording_server import Answer
from surroundings import clean_environment

from kosmolua import Host
from kosmolua.errors import KosmoError

YEAR_ONE = {"id": "p1", "status": "succeeded", "output": "x", "model": "a/b", "created_at": "0001-01-01T00:00:00Z"}
DEEP = b"[" * 960 + b"99999999999999999999999" + b"]" * 960
ODD = {
    "deep": DEEP,
    "a list for a page": b"[]",
    "items that are not objects": b'{"results": [1, null, "x", [2]], "next": 5}',
    "results that are not a list": b'{"results": {"a": 1}}',
    "a number": b"12345678901234567890123",
    "an id that is not text": b'{"id": [1], "status": {"a": 1}, "urls": 7, "metrics": []}',
    "year one": json.dumps(YEAR_ONE).encode(),
    "year 9999": json.dumps({**YEAR_ONE, "created_at": "9999-12-31T23:59:59-23:59"}).encode(),
}
SCRIPT = """
local api, failed = integrations.replicate, {}
local function followed(url) return replicate.stream{ id = "a", status = "x", urls = { stream = url } }.text() end
for _, f in ipairs({
  function() return replicate.wait(api.get_prediction{ prediction_id = "p1" }, { timeout = 0.1 }) end,
  function() for item in replicate.each("list_predictions", {}, { limit = 3 }) do dump(item) end end,
  function() return run("a/b", {}, { cache = "999999w" }) end,
  function() return run("a/b", {}, { cache = "1h", wait = false, timeout = 0.1 }) end,
  function() return followed("https://xn--/") end,
  function() return followed("https://" .. ("a"):rep(70) .. ".com/") end,
  function() return api.create_prediction{ version = "v", input = {} } end,
}) do
  local ok, failure = pcall(f)
  if not ok then failed[#failed + 1] = tostring(failure) end
end
return failed
"""


@pytest.fixture
def kosmo(server, tmp_path):
    """Run the command line against the server; the output never has a traceback."""

    def run(*argv, stdin="", **options):
        reach = {"REPLICATE_URL": server.url, "REPLICATE_API_KEY": "r8_token-of-tests"}
        ran = subprocess.run(
            [sys.executable, "-m", "kosmolua", *argv], input=stdin, capture_output=True, text=True, check=False,
            timeout=60, cwd=tmp_path, env={**clean_environment(tmp_path), **reach}, **options,
        )  # fmt: skip
        assert "Traceback" not in ran.stderr + ran.stdout
        assert "internal_error" not in ran.stdout
        assert "a bug in kosmolua" not in ran.stderr + ran.stdout
        return ran

    return run


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_odd_answers_to_a_script(server, kosmo, body):
    """The script gets the reason, and a report is written for any answer."""
    server.default = Answer(200, body)
    ran = kosmo("lua", "--json", "--write", "allow", "--report", "run.html", "-e", SCRIPT)
    told = json.loads(ran.stdout)

    assert (0, True) == (ran.returncode, told["success"])
    assert 3 <= len(told["result"])


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_odd_answers_to_a_call(server, kosmo, body):
    """The output is one envelope with the data or an error."""
    server.default = Answer(200, body)
    for argv in (["replicate.get_prediction", "--prediction_id", "p"], ["replicate.list_predictions", "--all"]):
        ran = kosmo("integrations:call", *argv, "--json")

        assert (ran.returncode == 0) == json.loads(ran.stdout)["success"]


def test_a_page_that_is_a_list_is_an_error(server, kosmo):
    """The error for a page that is a list says what was expected."""
    server.default = Answer(200, b"[]")
    told = json.loads(kosmo("integrations:call", "replicate.list_predictions", "--all", "--json").stdout)

    assert (False, "api_error") == (told["success"], told["code"])
    assert "expected a page with a list of results, got list" in told["error"]


def test_the_prompt_continues_after_odd_answers(server, kosmo):
    """The prompt in a pipe processes each answer, because it treats its input as a script."""
    server.default = Answer(200, DEEP)
    ran = kosmo("repl", stdin='print(pcall(integrations.replicate.get_account, {})) print("still here")')

    assert "more than 200 levels" in ran.stdout
    assert ran.stdout.endswith("still here\n")


def test_a_host_continues_after_odd_answers(server):
    """After any invalid answer the next call of the host works."""
    with Host(url=server.url, token="r8_token-of-tests", read="allow", write="allow") as host:
        for body in ODD.values():
            server.answers.extend([Answer(200, body), Answer(200, b'{"username": "u"}')])
            with suppress(KosmoError):
                host.call("list_models")

            assert {"username": "u"} == host.call("get_account")


def test_a_tool_answers_after_odd_answers(server, tmp_path):
    """The MCP server returns a result for each odd answer, and continues."""
    server.default = Answer(200, DEEP)
    reach = {"REPLICATE_URL": server.url, "REPLICATE_API_KEY": "r8_token-of-tests"}
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    call = {"name": "execute_lua", "arguments": {"source": "return integrations.replicate.get_account{}"}}
    with subprocess.Popen(
        [sys.executable, "-m", "kosmolua", "mcp:serve", "--code"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, cwd=tmp_path, env={**clean_environment(tmp_path), **reach},
    ) as process:  # fmt: skip

        def ask(number, method, params):
            line = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        ask(1, "initialize", hello)
        process.stdin.write('{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
        told = [ask(number, "tools/call", call)["result"]["structuredContent"]["error"] for number in (2, 3)]
        process.stdin.close()

    assert ["more than 200 levels" in each["message"] for each in told] == [True, True]


def raising(*_):
    raise ValueError("mine")


def test_a_callback_within_a_request_costs_nothing(server):
    """An exception of `on_retry` becomes a notice, and an exception of `on_notice` is logged."""
    notices = []
    server.answers.extend([Answer(429, b'{"retry_after": 0}'), Answer(200, b'{"username": "u"}')])
    options = {"url": server.url, "token": "r8_token-of-tests", "on_retry": raising}
    with Host(**options, on_notice=notices.append) as host:
        assert {"username": "u"} == host.call("get_account")
    with Host(**options, on_notice=raising) as host:
        assert {"id": "made"} == host.call("get_account")

    assert ["on_retry raised ValueError: mine"] == notices


def test_output_that_fails_leaves_the_prediction_known(server):
    """When output fails, the run ends at once, and the outcome has its created predictions."""
    server.default = Answer(201, b'{"id": "p1", "status": "starting"}')
    source = "print(replicate.create('a/b', {}, { validate = false }).id)"
    with Host(url=server.url, token="r8_token-of-tests", write="allow", on_output=raising) as host:
        run = host.script(source)
        with pytest.raises(ValueError, match="mine"):
            run.result()

    assert [("prediction", "p1", "default")] == run.outcome.running == run.outcome.created


# Full disks --------------------------------------------------------------------------------------------------------


def _small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))


@pytest.mark.parametrize("flag", [[], ["--journal", "run.journal"], ["--record", "run.cass"], ["--report", "run.html"]])
def test_a_full_disk(server, kosmo, flag):
    """The run ends with an error that names the file, or continues if nothing depends on the file."""
    server.default = Answer(200, b'{"username": "%b"}' % (b"u" * 3000))
    source = "for _ = 1, 20 do integrations.replicate.get_account{} end return 'done'"
    ran = kosmo("lua", "--json", *flag, "-e", source, preexec_fn=_small_files)
    told = json.loads(ran.stdout)

    assert (ran.returncode == 0) == told["success"] or "--report" in flag
    assert ran.returncode in (0, 1, 2)
    if "--journal" in flag:
        assert "journal" == told["code"]


def test_a_log_entry_that_cannot_be_written(server, kosmo, tmp_path):
    """The calls continue, and a notice reports the reason once."""
    (tmp_path / "state").parent.mkdir(exist_ok=True)
    environment = clean_environment(tmp_path)
    state = environment.get("KOSMO_STATE_DIR", str(tmp_path / "state"))
    os.makedirs(os.path.dirname(state), exist_ok=True)
    with open(state, "w", encoding="utf-8"):
        pass
    server.default = Answer(200, b'{"username": "u"}')
    ran = kosmo("lua", "-e", "for _ = 1, 3 do integrations.replicate.get_account{} end return 1")

    assert (0, "1\n") == (ran.returncode, ran.stdout)
    assert 1 == ran.stderr.count("calls are not recorded")
