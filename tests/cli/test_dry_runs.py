"""A dry run shows each request that a script would send, as far as the script gets without answers."""

import pytest

LLAMA = "meta/meta-llama-3-8b-instruct"
CREATE = f"kosmo: create_model_prediction would send: POST http://emulator.localhost/v1/models/{LLAMA}/predictions"


@pytest.fixture
def dry(kosmo):
    def run(source, *flags):
        return kosmo("lua", "--emulate", "--dry-run", *flags, "-e", source)

    return run


@pytest.mark.parametrize(
    ("source", "requests", "needs"),
    [
        (f'run("{LLAMA}", {{ prompt = "x" }})', [f'{CREATE} {{"input":{{"prompt":"x"}}}}'], "create_model_prediction"),
        (f'replicate.create("{LLAMA}", {{ prompt = "x" }})', [CREATE], "create_model_prediction"),
        (f'for e in stream("{LLAMA}", {{ prompt = "x" }}) do print(e) end', [CREATE], "create_model_prediction"),
        (f'run("{LLAMA}", {{ prompt = "x" }}, {{ cache = "1h" }})', [CREATE], "create_model_prediction"),
        (
            f'parallel({{ "a", "b" }}, function(p) run("{LLAMA}", {{ prompt = p }}) end)',
            [f'{CREATE} {{"input":{{"prompt":"a"}}}}', f'{CREATE} {{"input":{{"prompt":"b"}}}}'],
            "create_model_prediction",
        ),
        (
            'for m in each("list_models") do print(m.name) end',
            ["kosmo: list_models would send: GET http://emulator.localhost/v1/models"],
            "list_models",
        ),
        (
            'wait("p1")',
            ["kosmo: get_prediction would send: GET http://emulator.localhost/v1/predictions/p1"],
            "get_prediction",
        ),
        (
            'replicate.cancel_all { "p1" }',
            ["kosmo: cancel_prediction would send: POST http://emulator.localhost/v1/predictions/p1/cancel"],
            "cancel_prediction",
        ),
    ],
)
def test_a_helper_shows_its_request_and_stops(dry, source, requests, needs):
    """Standard error shows the request and the line where the script stops; stopping there is not a failure."""
    ran = dry(source)

    assert (0, "") == (ran.status, ran.out)
    for request in requests:
        assert request in ran.err
    assert f"kosmo: the dry run stops here: eval:1: the next step needs the answer to {needs}" in ran.err


def test_a_direct_call_returns_its_request(dry):
    """A direct call returns the request and the script continues. Using the request like an answer fails, and the hint
    explains why."""
    ran = dry("local account = replicate.get_account() print(account.method) return account.username:upper()")

    assert (1, "GET\n") == (ran.status, ran.out)
    assert "kosmo: get_account would send: GET http://emulator.localhost/v1/account\n" in ran.err
    assert "hint: in a dry run a call returns its request" in ran.err


def test_the_envelope_has_the_requests(dry):
    """The envelope reports success and lists all requests in order."""
    found = dry(f'run("{LLAMA}", {{ prompt = "x" }})', "--json").json

    assert (True, None) == (found["success"], found["code"])
    assert ["get_model", "create_model_prediction"] == [one["function"] for one in found["meta"]["requests"]]
    assert {"prompt": "x"} == found["meta"]["requests"][1]["body"]["input"]


def test_a_script_cannot_pretend_to_be_in_a_dry_run(kosmo):
    """If a script raises an error with the code of a dry run, the run fails as with any other error."""
    ran = kosmo("lua", "-e", 'error { code = "dry_run", message = "done" }', "--json")

    assert (1, "script_error") == (ran.status, ran.json["code"])
