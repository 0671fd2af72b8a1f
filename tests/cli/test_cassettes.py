"""Recorded runs are replayed offline and strictly, for scripts and for any HTTP client."""

import json
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import closing

import pytest
from recording_server import Answer
from surroundings import EXAMPLES, clean_environment

SECRET = "r8_" + "A1b2C3d4" * 4
RUN = """
  local r = integrations.replicate
  local p = r.create_prediction{ version = "v", input = { text = args[1], hf_token = "very-secret" }, prefer = "wait" }
  sleep(0.001)
  local ids = parallel({ "a", "b", "c" }, function(id) return r.get_prediction{ prediction_id = id }.id end)
  local ok, e = pcall(r.get_model, { model_owner = "o", model_name = "n" })
  print(p.id, table.concat(ids, ","), ok, e.status, math.random(1e6), time())
  return r.get_default_webhook_secret{}.key
"""


@pytest.fixture
def recorded(server, live):
    """Records a run against a server whose answers contain secrets."""
    made = {"id": "p1", "input": {"hf_token": "very-secret"}, "to": SECRET}
    server.answers.append(Answer(201, json.dumps(made).encode()))
    server.default = Answer(404, b'{"title": "no", "detail": "not there", "status": 404}')
    server.answers.extend(Answer(body=b'{"id": "x"}') for _ in range(3))
    server.answers.extend([server.default, Answer(body=b'{"key": "whsec_' + b"c2VjcmV0" * 4 + b'"}')])
    ran = live("lua", "-e", RUN, "--record", "run.jsonl", "--force", "--", "hello")
    assert 0 == ran.status, ran.err
    return ran


def test_a_cassette_is_played_offline(server, kosmo, recorded, tmp_path):
    """Without a token and a server the script prints the same; its random numbers and clock come from the cassette."""
    sent = len(server.requests)
    for isolation in ("standard", "none"):
        played = kosmo("lua", "-e", RUN, "--replay", "run.jsonl", "--isolation", isolation, "--", "hello")
        assert (0, recorded.out.splitlines()[0]) == (played.status, played.out.splitlines()[0])
        assert played.out.splitlines()[1].startswith("whsec_")
    assert sent == len(server.requests)
    assert ["run.jsonl"] == [path.name for path in tmp_path.iterdir() if "run" in path.name]


def test_a_cassette_contains_no_secret(recorded, tmp_path):
    """Secrets are recognized by name and by form, and an answer that is a secret is omitted."""
    text = (tmp_path / "run.jsonl").read_text()

    assert "very-secret" not in text
    assert SECRET not in text
    assert "c2VjcmV0" not in text
    assert "r8_marked" not in text


@pytest.mark.parametrize("data", ["x'c1'", "x'81c001'"])
def test_a_damaged_journal_gives_no_cassette(server, live, tmp_path, data):
    """A damaged journal gives an error, and no cassette is written."""
    server.default = Answer(body=b'{"id": "p"}')
    command = ("lua", "-e", "integrations.replicate.get_prediction{ prediction_id = 'p' }", "--journal", "x.journal")
    live(*command)
    with closing(sqlite3.connect(tmp_path / "x.journal")) as file:
        file.execute(f"UPDATE outcomes SET arguments = {data}")
        file.commit()
    ran = live(*command, "--record", "run.jsonl")

    assert 0 != ran.status
    assert "invalid data" in ran.err
    assert "Traceback" not in ran.err
    assert not (tmp_path / "run.jsonl").exists()


def test_a_script_that_contains_the_token_gives_no_cassette(server, live, tmp_path):
    """If the script contains the token in any form, an error is reported and no cassette is written."""
    named = "integrations.replicate.get_file{ file_id = 'other-token-form' }"
    ran = live("lua", "-e", f"return {named}.id", "--record", "x.jsonl",
               env={"REPLICATE_API_KEY": "other-token-form"})  # fmt: skip

    assert 2 == ran.status
    assert "would contain an API token" in ran.err
    assert [] == [path.name for path in tmp_path.iterdir() if "x.jsonl" in path.name]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("args[1]", '"other"'), '"text":"other"'),
        (("get_model,", "get_model_readme,"), "get_model_readme"),
        (('{ "a", "b", "c" }', '{ "a", "c", "b" }'), '"prediction_id":"c"'),
        (("sleep(0.001)", ""), "the cassette: host.sleep"),
        (("return r.get_default_webhook_secret{}.key", "return 1"), "nothing more"),
        (("return r.", "r.get_account{} return r."), "get_account"),
    ],
)  # fmt: skip
def test_another_call_is_reported(kosmo, recorded, change, words):
    """Calls must match the cassette in order and arguments, in each task."""
    assert change[0] in RUN
    played = kosmo("lua", "-e", RUN.replace(*change), "--replay", "run.jsonl", "--", "hello")

    assert 1 == played.status
    assert words in played.err
    assert "Traceback" not in played.err


def test_calls_after_the_end_of_a_cassette_are_reported(kosmo, recorded):
    """A script that makes more calls than its cassette contains fails."""
    played = kosmo(
        "lua", "-e", RUN.replace("return r", "local key = r") + " sleep(1)", "--replay", "run.jsonl", "--", "hello"
    )

    assert 1 == played.status
    assert "has no further call" in played.err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("lua", "-e", "1", "--replay", "none.jsonl"), "cannot read the cassette"),
        (("lua", "-e", "1", "--replay", "broken.jsonl"), "broken.jsonl:1: not a valid cassette line"),
        (("lua", "-e", "return 1", "--replay", "run.jsonl", "--", "bye"), "recorded with the arguments"),
        (("lua", "-e", "1", "--replay", "run.jsonl", "--journal", "x"), "--journal"),
        (("lua", "-e", "return 1", "--emulate", "--record", "no/where.jsonl"), "cannot write the cassette"),
        (("emulator:serve", "--cassette", "broken.jsonl"), "is not a cassette"),
        (("emulator:serve", "--cassette", "none.jsonl"), "cannot read"),
    ],
)
def test_mistakes_are_reported(kosmo, recorded, tmp_path, argv, words):
    """An invalid cassette is reported in a readable sentence."""
    (tmp_path / "broken.jsonl").write_text("{}")
    ran = kosmo(*argv)

    assert ran.status in {1, 2}
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_any_client_is_served(recorded, kosmo, tmp_path):
    """The recorded calls are also answered over HTTP, in the recorded order. A read may be repeated, a write may not;
    other calls are refused."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kosmolua", "emulator:serve", "--cassette", "run.jsonl"],
        stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=clean_environment(tmp_path),
    )  # fmt: skip
    try:
        url = json.loads(process.stdout.readline())["url"]

        def ask(path, body=None):
            request = urllib.request.Request(
                url + path, body and json.dumps(body).encode(), {"Authorization": "Bearer x"}
            )
            try:
                with urllib.request.urlopen(request) as answer:
                    return answer.status, json.load(answer)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, json.load(error)

        create = {"version": "v", "input": {"text": "hello", "hf_token": "of this client"}}
        status, made = ask("/predictions", create)
        assert (201, "p1") == (status, made["id"])
        assert 409 == ask("/predictions", create)[0]
        assert [(200, {"id": "x"})] * 2 == [ask("/predictions/a"), ask("/predictions/a")]
        status, document = ask("/models/o/n")
        assert (404, "not there") == (status, document["detail"])
        assert 409 == ask("/predictions/unknown")[0]
        assert 404 == ask("/no/such/place")[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        process.stdout.close()


def test_an_example_is_recorded_with_the_emulator_and_played(kosmo):
    """A workflow with pictures from three models, recorded against the emulator, is replayed offline without
    waiting."""
    script = str(EXAMPLES / "chain.lua")
    first = kosmo("lua", script, "--emulate", "--record", "chain.jsonl", "--", "a fox")
    played = kosmo("lua", script, "--replay", "chain.jsonl", "--", "a fox")

    assert 0 == first.status, first.err
    assert (0, first.out) == (played.status, played.out)
