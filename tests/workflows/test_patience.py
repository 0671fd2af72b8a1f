"""No single invalid answer ends the wait for paid work, and uncertain creates are looked for in the account."""

import json

import pytest
from recording_server import Answer

from kosmolua.errors import ScriptError

RUN = 'run("o/m", args[1] and { text = "a", key = "secret" } or { text = "a" }, { validate = false, wait = false })'
STARTING = {"id": "p1", "status": "starting", "model": "o/m", "version": "hidden", "input": {"text": "a"}, "urls": {}}
DONE = {**STARTING, "status": "succeeded", "output": "hello"}
ODD = {
    "html": Answer(200, b"<html>sign in</html>", {"Content-Type": "text/html"}),
    "empty": Answer(200, b""),
    "not-found": Answer(404, b'{"detail": "not found"}'),
    "proxy": Answer(403, b"<html>blocked</html>", {"Content-Type": "text/html"}),
    "unauthorized": Answer(401, b"{}"),
    "list": Answer(200, b"[]"),
    "no-id": Answer(200, b'{"status": "processing"}'),
    "null": Answer(200, b"null"),
    "empty-id": Answer(200, b'{"id": "", "status": "succeeded", "output": "foreign"}'),
    "foreign": Answer(200, b'{"id": "p2", "status": "succeeded", "output": "foreign"}'),
}


@pytest.fixture
def visit(flow, server):
    """Run a script against the recording server with these first answers."""

    def run(source, *answers, **options):
        flow.serve()
        flow.url = server.url
        server.answers.extend(answers)
        return flow(source, **options)

    return run


def answer(data, status=200):
    return Answer(status, json.dumps(data).encode())


@pytest.mark.parametrize("kind", ODD)
def test_one_invalid_poll_is_ignored(visit, server, kind):
    """The next poll finds the state."""
    twice = [ODD[kind]] * (2 if kind == "not-found" else 1)  # a training with this id is also requested
    assert "hello" == visit(f"return ({RUN})", answer(STARTING, 201), *twice, answer(DONE))
    assert 1 == sum(request.method == "POST" for request in server.requests)


def test_the_sixth_invalid_poll_ends_the_wait(visit, server):
    """The error names the prediction and says how to continue."""
    server.default = ODD["proxy"]
    with pytest.raises(ScriptError, match="cannot get the status of p1: 6 polls in a row failed") as caught:
        visit(RUN, answer(STARTING, 201))

    assert 403 == caught.value.status
    assert 'wait again: wait("p1"), or cancel it: cancel_prediction{ prediction_id = "p1" }' in caught.value.hint
    assert 7 == len(server.requests)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"status": "starting"}',
        b'{"id": "", "status": "starting"}',
        b'{"id": "a b;c", "status": "starting"}',
        b'{"id": "..", "status": "starting"}',
        b"[]",
        b"<html>ok</html>",
        b"",
    ],
)
def test_a_create_without_an_id(visit, server, body):
    """The create is uncertain: its result is looked for in the account, and the create is not resent."""
    listed = answer({"results": [{**DONE, "created_at": "2099-01-01T00:00:00Z"}], "next": None})

    assert "hello" == visit(f"return ({RUN})", Answer(201, body), listed)
    assert 1 == sum(request.method == "POST" for request in server.requests)


def test_a_create_without_an_id_that_is_not_found(visit, server):
    """The error's code is "uncertain"."""
    server.default = answer({"results": [], "next": None})
    with pytest.raises(ScriptError, match="has no usable id") as caught:
        visit(RUN, Answer(201, b"{}"))

    assert "uncertain" == caught.value.code
    assert 1 == sum(request.method == "POST" for request in server.requests)


def test_a_create_with_a_secret_input_is_found(visit, server):
    """The API shows the secret as [REDACTED], so the prediction is found and nothing is paid for twice."""
    shown = {**DONE, "input": {"text": "a", "key": "[REDACTED]"}}
    other = {**shown, "id": "p0", "input": {"text": "b", "key": "[REDACTED]"}}
    page = answer({"results": [other, shown], "next": None})

    assert "hello" == visit(f"return ({RUN})", Answer(500, b"{}"), page, args=["secret"])
    assert 1 == sum(request.method == "POST" for request in server.requests)


def test_pages_that_form_a_cycle(visit, server):
    """The page sequence A, B, A is an error, not an endless loop."""

    def page(cursor):
        return answer({"results": [{"id": cursor}], "next": f"{server.url}/predictions?cursor={cursor}"})

    server.default = Answer(500, b"{}")
    with pytest.raises(ScriptError, match="the pages of list_predictions form a cycle"):
        visit('for _ in each("list_predictions") do end', page("a"), page("b"), page("a"))

    assert 3 == len(server.requests)


def test_endless_empty_pages(visit, server):
    """If each empty page has a new next page, reading them ends with an error."""
    pages = [answer({"results": [], "next": f"{server.url}/predictions?cursor={n}"}) for n in range(150)]
    with pytest.raises(ScriptError, match="100 pages of list_predictions in a row are empty"):
        visit('for _ in each("list_predictions") do end', *pages)

    assert 100 == len(server.requests)


@pytest.mark.parametrize("status", [404, 410])
def test_an_output_that_has_expired(visit, server, status):
    """The error says that outputs are removed after an hour, and how to keep them."""
    with pytest.raises(ScriptError, match="removes outputs an hour after they were made") as caught:
        visit("download(args[1], 'a.png')", Answer(status, b"gone"), args=[server.url.removesuffix("/v1") + "/out.png"])

    assert "save outputs in the script that makes them" in caught.value.hint
