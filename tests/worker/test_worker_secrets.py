"""No secret appears in a worker's metrics, logs, spans, pages, command output or tables."""

import json
import os
import subprocess
import sys

import httpx
import psycopg
import pytest
from recording_server import Answer, RecordingServer
from test_observed import free_port, program
from waiting import wait_until

from kosmolua.errors import ConfigurationError
from kosmolua.journal.records import Head
from kosmolua.worker import approvals, runs, triggers
from kosmolua.worker.database import Database, check_url

TOKEN = "r8_" + "Zx9" * 12
TYPED = "r8_" + "Ty1" * 12  # a secret that a person passes to a script
PASSWORD = "Sekr3tOfTheDatabase"
SIGNING = "whsec_" + "QUJDREVG" * 4
USER_INFO = "hidden-in-a-url"
SCRIPT = f"""
local r = integrations.replicate
print("begun")
local made = r.create_prediction{{
  version = ("v"):rep(64), input = {{ text = args[1] }}, webhook = "https://ana:{USER_INFO}@hooks.example.com/x",
}}
print(made.logs, made.output)
log(made.logs)
print(json.encode({{ pcall(r.get_default_webhook_secret, {{}}) }}))
local _, unknown = pcall(function() return r["get_" .. made.logs:gsub("%W", "_")]{{}} end)
print(type(unknown) == "table" and unknown.message or unknown)
local _, failed = pcall(r.get_account, {{}})
print(failed.message, failed.detail)
error("it failed with " .. made.logs)
"""


@pytest.fixture
def api():
    """An API that repeats the token wherever it can."""
    server = RecordingServer()
    made = {
        "id": "p1",
        "status": "succeeded",
        "logs": f"Bearer {TOKEN}",
        "error": TOKEN,
        "output": [TOKEN],
        "urls": {"get": f"https://x/{TOKEN}"},
    }
    server.routes["/v1/predictions"] = Answer(201, json.dumps(made).encode())
    server.routes["/v1/webhooks/default/secret"] = Answer(200, json.dumps({"key": SIGNING}).encode())
    failure = {"title": TOKEN, "detail": f"no {TOKEN}", "status": 418}
    server.routes["/v1/account"] = Answer(418, json.dumps(failure).encode())
    yield server
    server.close()


def said(directory, *words):
    environment = {**os.environ, "KOSMO_STATE_DIR": str(directory / "state")}
    ran = subprocess.run(
        [sys.executable, "-m", "kosmolua", *words], capture_output=True, text=True, env=environment, check=False
    )
    return ran.stdout + ran.stderr


def dumped(url):
    """All values in all tables."""
    with psycopg.connect(url, autocommit=True) as connection:
        names = connection.execute("SELECT relname FROM pg_stat_user_tables WHERE schemaname = 'kosmo'").fetchall()
        found = b""
        for (name,) in names:
            for row in connection.execute(f'SELECT * FROM kosmo."{name}"'):
                found += b" ".join(bytes(v) if isinstance(v, bytes | memoryview) else str(v).encode() for v in row)
    return found.decode(errors="replace")


def test_nothing_shows_a_secret(url, database, tmp_path, api, monkeypatch):
    """The API repeats the token in every answer, and the script prints, logs, returns and raises what it gets."""
    for name, value in (
        ("REPLICATE_API_TOKEN", TOKEN),
        ("REPLICATE_URL", api.url),
        ("KOSMO_CONFIG_DIR", str(tmp_path)),
    ):
        monkeypatch.setenv(name, value)
    secret = triggers.add(database, "orders", Head(script="s.lua", source=b"return 1"))
    private, port, console = f"{url}&password={PASSWORD}", free_port(), free_port()
    flags = ("--write", "allow", "--metrics", f"{port}", "--log-format", "json", "--database", private)
    with program(tmp_path, "worker", *flags):
        wait_until(lambda: "is ready" in (tmp_path / "log").read_text())
        run, _ = runs.submit(database, Head(script="s.lua", source=SCRIPT.encode(), args=[f"given {TYPED}"]))
        (asked,) = wait_until(lambda: approvals.listed(database))
        approvals.decide(database, [asked.id], "denied", "bob")
        wait_until(lambda: runs.find(database, run).state in runs.ENDED)
        found = {"figures": httpx.get(f"http://127.0.0.1:{port}/metrics").text}
    found["log"] = (tmp_path / "log").read_text()
    (tmp_path / "pages").mkdir()
    with program(tmp_path / "pages", "serve", "--port", f"{console}", "--database", private, status=143):
        wait_until(lambda: "the console is at" in (tmp_path / "pages" / "log").read_text())
        at = f"http://127.0.0.1:{console}"
        pages = ("/", f"/runs/{run}", "/approvals", "/schedules", "/budgets", "/workers")
        found |= {f"page {path}": httpx.get(at + path, follow_redirects=True).text for path in pages}
    found["log of the console"] = (tmp_path / "pages" / "log").read_text()
    for words in (("runs", "show"), ("runs", "show", "--json"), ("runs", "logs")):
        found[" ".join(words)] = said(tmp_path, *words, run, "--database", private)
    for words in (("runs", "list"), ("triggers", "list"), ("approvals", "list", "--all"), ("workers",)):
        found[" ".join(words)] = said(tmp_path, *words, "--json", "--database", private)
    found["tables"] = dumped(url)

    assert "begun" in found["runs logs"]
    assert "it failed with" in runs.find(database, run).error
    names = {
        TYPED: "typed",
        TOKEN: "token",
        PASSWORD: "password",
        SIGNING: "signing",
        secret: "trigger",
        USER_INFO: "user info",
    }
    leaks = [(place, name) for place, text in found.items() for value, name in names.items() if value in text]
    given = {"typed", "user info"}  # the runs need them
    leaks = [(place, name) for place, name in leaks if (place, {name} <= given) != ("tables", True)]
    assert [] == leaks, leaks


@pytest.mark.parametrize("between", ["@", "#", "/", "%", "?", " ", "["])
def test_a_password_that_is_not_encoded(between):
    """libpq would take a part of the password for the host, and name it in its error."""
    with pytest.raises(ConfigurationError) as caught:
        Database(f"postgresql://kosmo:one{between}{PASSWORD}@127.0.0.1:1/x")

    assert PASSWORD not in f"{caught.value}{caught.value.hint}"
    assert "postgresql://USER:PASSWORD@HOST/DATABASE" in caught.value.hint


def test_database_urls():
    """All forms of URLs that libpq knows are accepted."""
    for url in (
        *("postgresql://kosmo@db.internal/kosmo", "postgresql:///kosmo?host=/run", "postgresql://%2Frun/db"),
        *("postgres://u:p%40w@h1:1,h2:2/db?target_session_attrs=any&connect_timeout=3", "postgresql://u:p:w@[::1]:5/x"),
        *("postgresql://u@/db?host=@abstract&port=1", "postgresql://"),
    ):
        check_url(url)
