"""The console with a real worker: from a script's question to the result on the page."""

import re
import sys
from pathlib import Path

import httpx
import psycopg
import pytest
from test_access import Visitor
from waiting import wait_until

from kosmolua.worker import runs

sys.path.append(str(Path(__file__).parent.parent / "worker"))
from fleet import Fleet

HELLO = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
SCRIPT = f"""
print("asking for " .. args[1])
local made = integrations.replicate.create_prediction {{ version = "{HELLO}", input = {{ text = args[1] }} }}
local _, denied = pcall(integrations.replicate.create_prediction, {{ version = "{HELLO}", input = {{ text = "no" }} }})
return integrations.replicate.wait(made).output, denied.message
"""


@pytest.fixture
def fleet(database, tmp_path):
    with Fleet(database.url, tmp_path).serving() as fleet:
        yield fleet


def buttons(visitor):
    """The path and hidden fields of the form of the only open question."""
    form = visitor.get("/approvals").text.partition('action="/approvals/')[2].partition("</form>")[0]
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form))
    return (f"/approvals/{form.partition(chr(34))[0]}", fields) if fields else None


def test_from_a_question_to_a_result(fleet, process, database, tmp_path):
    """One call is approved and sent once, another is denied with a reason; the run's page shows both."""
    file = tmp_path / "secrets"
    file.write_text("approve alice alice-has-this-secret\n")
    file.chmod(0o600)
    visitor = Visitor(process("--secret-file", str(file)).url)
    assert 303 == visitor.sign_in("alice-has-this-secret").status_code
    fleet.start(write="ask")
    (run,) = fleet.submit(1, SCRIPT, name="Ada", by="bob")

    for verdict, reason in (("approved", ""), ("denied", "once is enough")):
        path, fields = wait_until(lambda: buttons(visitor))
        answer = visitor.post(path, {**fields, "verdict": verdict, "reason": reason})
        assert (303, f"/approvals?said={verdict}") == (answer.status_code, answer.headers["location"])
    fleet.finish()
    page = visitor.get(f"/runs/{run}").text
    visitor.client.close()

    assert "hello Ada0" in page
    assert "once is enough" in page
    assert '<h1>fleet.lua <b class="state done">done</b></h1>' in page
    assert "asking for Ada0" in page
    assert 1 == fleet.server.count("POST", "/predictions")
    assert "done" == runs.find(database, run).state


def test_without_a_database(capsys, process, postgres, database):
    """Without a database the error says how to start a worker; if the database is lost, the page reports it."""
    from kosmolua.cli import main

    assert 4 == main(["serve", "--port", "0"])
    assert "start one: kosmo worker" in capsys.readouterr().err
    console = process()
    (name,) = database.rows("SELECT current_database()")[0]
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
    answer = httpx.get(console.url, trust_env=False, timeout=30)

    assert 503 == answer.status_code
    assert "The database is unavailable" in answer.text
