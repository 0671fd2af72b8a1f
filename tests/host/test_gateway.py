"""A gateway in front of the API needs a base URL with a path, and its own headers."""

import json
import os
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from kosmolua import Host
from kosmolua.cli import main
from kosmolua.emulator import Emulator
from kosmolua.emulator.server import running
from kosmolua.replicate.catalogue import BY_NAME
from kosmolua.replicate.redact import redactor_of

PREFIX = "/v1/account/gateway/replicate"
SECRET = "marked-gateway-secret"
HEADER = "cf-aig-authorization"


class Gateway:
    """A gateway that passes requests with the header to an emulator, and records their paths and headers."""

    def __init__(self, application, header=f"Bearer {SECRET}"):
        self._application = application
        self._header = header
        self.seen = []

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        self.seen.append((path, environ.get("HTTP_CF_AIG_AUTHORIZATION")))
        if environ.get("HTTP_CF_AIG_AUTHORIZATION") != self._header:
            start_response("401 Unauthorized", [("Content-Type", "application/json")])
            return [json.dumps({"detail": f"got {environ.get('HTTP_CF_AIG_AUTHORIZATION')}"}).encode()]
        if path.startswith(PREFIX):
            environ["PATH_INFO"] = "/v1" + path.removeprefix(PREFIX)
        return self._application(environ, start_response)

    def close(self):
        self._application.close()


@contextmanager
def gateway(header=f"Bearer {SECRET}"):
    made = Gateway(Emulator(seed="gateway"), header)
    with running(made) as url:
        made.url = url.removesuffix("/v1") + PREFIX
        yield made


@pytest.fixture
def configured(monkeypatch, tmp_path):
    """An account whose header value is in the environment."""
    (tmp_path / "config").mkdir()
    text = f'[replicate.accounts.default.headers]\n{HEADER} = {{ env = "GATEWAY" }}\n'
    (tmp_path / "config" / "config.toml").write_text(text)
    monkeypatch.setenv("KOSMO_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("GATEWAY", f"Bearer {SECRET}")
    monkeypatch.setenv("REPLICATE_API_KEY", "r8_marked_token")


EVERYTHING = """
local replicate, texts = integrations.replicate, {}
for event in stream("meta/meta-llama-3-8b-instruct", { prompt = "hello" }) do texts[#texts + 1] = event.data end
local picture = run("black-forest-labs/flux-schnell", { prompt = "a fox" })
local saved = picture[1]:save("fox.webp", { overwrite = true })
local file = replicate.create_file{ content = "hello", filename = "hello.txt" }
local count = 0
for _ in each("list_predictions", {}, { limit = 200 }) do count = count + 1 end
return { #texts > 0, saved.size > 0, replicate.get_file{ file_id = file.id }.size, count > 100 }
"""


def test_calls_streams_downloads_and_pages(configured, tmp_path):
    """Calls, streams, downloads and pages pass through the gateway with its header."""
    with gateway() as between:
        options = {"url": between.url, "write": "allow", "allow_write": [str(tmp_path)]}
        with Host(**options) as host:
            for _ in range(101):
                host.call("create_prediction", BY_NAME["create_prediction"].example)
            os.chdir(tmp_path)
            result = host.run(EVERYTHING)

        assert [True, True, 5, True] == (result.error or result.results[0])
        assert {f"Bearer {SECRET}"} == {header for _, header in between.seen}
        assert {"stream", "delivery", "v1"} == {path.split("/")[1] for path, _ in between.seen}


def test_the_header_is_shown_nowhere(configured, tmp_path):
    """If a gateway repeats the header, it is not in answers, the dry run, the call log or the audit log."""
    with gateway("another") as between:
        with Host(url=between.url, write="allow") as host:
            result = host.run("return select(2, pcall(integrations.replicate.get_account, {}))")
        with Host(url=between.url, write="allow", dry_run=True) as host:
            shown = host.call("get_account")

    assert "got Bearer [hidden]" in result.results[0]["message"]
    assert "[hidden]" == shown["headers"][HEADER]
    audit = "".join(file.read_text() for file in Path(tmp_path, "state").rglob("*") if file.is_file())
    assert "get_account" in audit
    assert SECRET not in f"{audit} {result} {result.log} {shown}"


def test_headers_of_the_options():
    """Headers in the options of `Host` are used like the token, and its repr does not show them."""
    with gateway() as between, Host(token="r8_x", url=between.url, headers={HEADER: f"Bearer {SECRET}"}) as host:
        assert "username" in host.call("get_account")
        assert SECRET not in repr(host)


@pytest.mark.parametrize(
    "headers", [{"Host": "x"}, {"Content-Length": "1"}, {"Prefer": "wait"}, {"x": "a\r\nb: c"}, {"x y": "z"}]
)
def test_invalid_headers_are_refused(headers):
    """Headers that the client itself sets, and duplicate headers, are refused."""
    with pytest.raises(TypeError, match="headers: expected a dictionary") as caught:
        Host(token="r8_x", headers=headers)

    assert "a secret" in str(caught.value)


def test_doctor_reports_missing_header_values(configured, monkeypatch, capsys):
    """The doctor reports a missing value before any call, by name and without the value."""
    assert 0 == main(["integrations:doctor", "--offline", "--json"])
    shown = capsys.readouterr().out
    assert {"check": "headers", "ok": True, "message": HEADER, "next": None} in json.loads(shown)["checks"]
    assert SECRET not in shown

    monkeypatch.delenv("GATEWAY")
    assert 4 == main(["integrations:doctor", "--offline", "--json"])
    found = {each["check"]: each for each in json.loads(capsys.readouterr().out)["checks"]}["headers"]
    assert (False, "set it: export GATEWAY=…") == (found["ok"], found["next"])


def test_a_header_value_on_the_command_line_gives_a_warning(configured, monkeypatch, capsys):
    """Others could read the value there; it is stored but not printed."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    assert 0 == main(["integrations:configure", "--set", f"header.x-gateway={SECRET}", "--storage", "file", "--json"])
    out, err = capsys.readouterr()

    assert ["header.x-gateway"] == json.loads(out)["changed"]
    assert "visible to other users" in err
    assert SECRET not in out + err


@pytest.mark.parametrize("size", [0, 5000])
def test_a_header_is_found_in_its_usual_forms(size):
    """A header value is found as plain text, in JSON with and without escaped slashes, and in a URL, in short and long
    answers.
    """
    secret = 'marked/secret+of "a" gateway=='
    forms = [secret, json.dumps(secret)[1:-1], json.dumps(secret)[1:-1].replace("/", "\\/"), quote(secret, safe="")]
    body = "".join(f"[{form}]" for form in forms) + "x" * size

    assert "[[hidden]]" * 4 + "x" * size == redactor_of("", [f"Bearer {secret}"]).body(body.encode()).decode()
