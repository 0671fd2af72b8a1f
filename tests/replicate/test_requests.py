"""The requests of all functions equal a table that follows the API's documentation."""

import json
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording_server import Answer

from kosmolua._version import __version__
from kosmolua.errors import ArgumentError
from kosmolua.gate.functions import resolve
from kosmolua.replicate.client import Client
from kosmolua.replicate.request import MAX_FILE, segment
from kosmolua.replicate.structs import decode_arguments

ODD, ODD_SEGMENT = "p r/ed?x#y%z", "p%20r%2Fed%3Fx%23y%25z"
UMLAUT, UMLAUT_SEGMENT = "fïle", "f%C3%AFle"
MODEL = {"model_owner": "acme", "model_name": ODD}
VERSION = {**MODEL, "version_id": "5c7d"}
DEPLOYMENT = {"deployment_owner": UMLAUT, "deployment_name": "gen"}
MODEL_PATH = f"/v1/models/acme/{ODD_SEGMENT}"
DEPLOYMENT_PATH = f"/v1/deployments/{UMLAUT_SEGMENT}/gen"
RUN = {"input": {"a": [1, None, {"b": 2**53}], "é": "\u2028"}, "webhook": "https://example.com/h",
       "webhook_events_filter": ["start", "completed"], "stream": False}  # fmt: skip

# short name: (arguments, method, target on the wire, body as JSON or bytes, further headers)
EXPECTED = {
    "cancel_prediction": ({"prediction_id": ODD}, "POST", f"/v1/predictions/{ODD_SEGMENT}/cancel", None, {}),
    "cancel_training": ({"training_id": "t"}, "POST", "/v1/trainings/t/cancel", None, {}),
    "create_deployment": (
        {"name": "n", "model": "a/b", "version": "v", "hardware": "cpu", "min_instances": 0, "max_instances": 2},
        "POST", "/v1/deployments",
        {"name": "n", "model": "a/b", "version": "v", "hardware": "cpu", "min_instances": 0, "max_instances": 2}, {},
    ),
    "create_deployment_prediction": (
        {**DEPLOYMENT, **RUN, "prefer": "wait=5"}, "POST", f"{DEPLOYMENT_PATH}/predictions", RUN, {"prefer": "wait=5"},
    ),
    "create_file": ({"content": b"\x00\xff", "filename": "a.bin"}, "POST", "/v1/files", b"\x00\xff", {}),
    "create_model": (
        {"owner": "o", "name": "n", "visibility": "private", "hardware": "cpu", "description": "d", "github_url": "g",
         "paper_url": "p", "license_url": "l", "cover_image_url": "c"},
        "POST", "/v1/models",
        {"owner": "o", "name": "n", "visibility": "private", "hardware": "cpu", "description": "d", "github_url": "g",
         "paper_url": "p", "license_url": "l", "cover_image_url": "c"}, {},
    ),
    "create_model_prediction": (
        {**MODEL, **RUN, "prefer": "wait", "cancel_after": "1h30m45s"}, "POST", f"{MODEL_PATH}/predictions", RUN,
        {"prefer": "wait", "cancel-after": "1h30m45s"},
    ),
    "create_prediction": (
        {"version": "2e10", **RUN, "cancel_after": "30"}, "POST", "/v1/predictions", {"version": "2e10", **RUN},
        {"cancel-after": "30"},
    ),
    "create_training": (
        {**VERSION, "destination": "a/b", "input": {}, "webhook": "https://example.com"}, "POST",
        f"{MODEL_PATH}/versions/5c7d/trainings",
        {"destination": "a/b", "input": {}, "webhook": "https://example.com"}, {},
    ),
    "delete_deployment": (DEPLOYMENT, "DELETE", DEPLOYMENT_PATH, None, {}),
    "delete_file": ({"file_id": UMLAUT}, "DELETE", f"/v1/files/{UMLAUT_SEGMENT}", None, {}),
    "delete_model": (MODEL, "DELETE", MODEL_PATH, None, {}),
    "delete_model_version": (VERSION, "DELETE", f"{MODEL_PATH}/versions/5c7d", None, {}),
    "download_file": (
        {"file_id": "f", "owner": "m t", "expiry": 1708515345, "signature": "zu/DZ+4="}, "GET",
        "/v1/files/f/download?owner=m%20t&expiry=1708515345&signature=zu%2FDZ%2B4%3D", None, {},
    ),
    "get_account": ({}, "GET", "/v1/account", None, {}),
    "get_collection": ({"collection_slug": "super-resolution"}, "GET", "/v1/collections/super-resolution", None, {}),
    "get_default_webhook_secret": ({}, "GET", "/v1/webhooks/default/secret", None, {}),
    "get_deployment": (DEPLOYMENT, "GET", DEPLOYMENT_PATH, None, {}),
    "get_file": ({"file_id": "f"}, "GET", "/v1/files/f", None, {}),
    "get_model": (MODEL, "GET", MODEL_PATH, None, {}),
    "get_model_readme": (MODEL, "GET", f"{MODEL_PATH}/readme", None, {}),
    "get_model_version": (VERSION, "GET", f"{MODEL_PATH}/versions/5c7d", None, {}),
    "get_prediction": ({"prediction_id": "007"}, "GET", "/v1/predictions/007", None, {}),
    "get_training": ({"training_id": "t"}, "GET", "/v1/trainings/t", None, {}),
    "list_collections": ({"cursor": "c=/+ é"}, "GET", "/v1/collections?cursor=c%3D%2F%2B%20%C3%A9", None, {}),
    "list_deployments": ({"cursor": "c"}, "GET", "/v1/deployments?cursor=c", None, {}),
    "list_files": ({"cursor": "c"}, "GET", "/v1/files?cursor=c", None, {}),
    "list_hardware": ({}, "GET", "/v1/hardware", None, {}),
    "list_model_examples": ({**MODEL, "cursor": "c"}, "GET", f"{MODEL_PATH}/examples?cursor=c", None, {}),
    "list_model_versions": ({**MODEL, "cursor": "c"}, "GET", f"{MODEL_PATH}/versions?cursor=c", None, {}),
    "list_models": (
        {"sort_by": "model_created_at", "sort_direction": "asc", "cursor": "c"}, "GET",
        "/v1/models?sort_by=model_created_at&sort_direction=asc&cursor=c", None, {},
    ),
    "list_predictions": (
        {"created_after": "2026-01-01T00:00:00+01:00", "created_before": "2026-02-01", "source": "web"}, "GET",
        "/v1/predictions?created_after=2026-01-01T00%3A00%3A00%2B01%3A00&created_before=2026-02-01&source=web", None,
        {},
    ),
    "list_trainings": ({}, "GET", "/v1/trainings", None, {}),
    "search": ({"query": "nano banana", "limit": 50}, "GET", "/v1/search?query=nano%20banana&limit=50", None, {}),
    "search_models": ({"body": "héllo", "cursor": "c"}, "QUERY", "/v1/models?cursor=c", "héllo".encode(), {}),
    "update_deployment": (
        {**DEPLOYMENT, "min_instances": 3}, "PATCH", DEPLOYMENT_PATH, {"min_instances": 3}, {},
    ),
    "update_model": (
        {**MODEL, "readme": "# é", "weights_url": "w", "description": "d", "github_url": "g", "paper_url": "p",
         "license_url": "l"}, "PATCH", MODEL_PATH,
        {"readme": "# é", "weights_url": "w", "description": "d", "github_url": "g", "paper_url": "p",
         "license_url": "l"}, {},
    ),
}  # fmt: skip
TEXT, BYTES = {"get_model_readme"}, {"download_file"}
NO_BODY = {"delete_deployment": 204, "delete_file": 204, "delete_model": 204, "delete_model_version": 202}


@pytest.fixture
def client(server):
    with Client(token="r8_token", base_url=server.url) as made:
        yield made


def send(client, name, arguments):
    operation = resolve(name)
    return client.send(operation, decode_arguments(operation, arguments))


def test_the_table_names_all_functions():
    """The table has every function."""
    assert 37 == len(EXPECTED)


@pytest.mark.parametrize("packed", [False, True], ids=["mapping", "msgpack"])
@pytest.mark.parametrize("name", EXPECTED)
def test_each_request(client, server, name, packed):
    """The method, path, query, headers and body are as documented, for every name of the function."""
    arguments, method, target, body, headers = EXPECTED[name]

    send(client, f"replicate_{name}" if packed else name, msgspec.msgpack.encode(arguments) if packed else arguments)

    (request,) = server.requests
    assert (method, target) == (request.method, request.target)
    assert "Bearer r8_token" == request.headers["authorization"]
    assert f"kosmolua/{__version__}" == request.headers["user-agent"]
    assert f"127.0.0.1:{server.port}" == request.headers["host"]
    documented = {"prefer", "cancel-after"}
    assert headers == {header: value for header, value in request.headers.items() if header in documented}
    check_body(name, request, body)


def check_body(name, request, body):
    content_type = request.headers.get("content-type")
    if body is None:
        assert (b"", None) == (request.body, content_type)
    elif name == "create_file":
        assert content_type.startswith("multipart/form-data; boundary=")
        assert body in request.body
    elif isinstance(body, bytes):
        assert (body, "text/plain") == (request.body, content_type)
    else:
        assert "application/json" == content_type
        assert body == json.loads(request.body)


@pytest.mark.parametrize("name", sorted(set(EXPECTED) - TEXT - BYTES - set(NO_BODY)))
def test_answers_are_returned_unchanged(client, server, name):
    """Nulls, empty lists and objects, large integers and Unicode text are unchanged."""
    value = {
        "id": "made",
        "next": None, "results": [], "map": {}, "n": 2**53 + 1, "big": 2**70, "f": 0.1, "t": "\u2028é😀\u0000",
        "list": [None, [], {}],
    }  # fmt: skip
    server.default = Answer(body=json.dumps(value, ensure_ascii=False).encode())

    assert value == send(client, name, EXPECTED[name][0]).data


@pytest.mark.parametrize(("name", "status"), NO_BODY.items())
def test_answers_without_a_body(client, server, name, status):
    """A 204 or 202 without a body is not an error."""
    server.default = Answer(status=status, body=b"", headers={"Content-Length": "0", "Content-Type": None})

    answer = send(client, name, EXPECTED[name][0])

    assert (status, None) == (answer.status, answer.data)


def test_text_and_bytes(client, server):
    """A README is returned as text, and a download as bytes."""
    server.answers += [
        Answer(body="# Héllo\n".encode(), headers={"Content-Type": "text/plain; charset=utf-8"}),
        Answer(body=b"\x89PNG\r\n\x00\xff", headers={"Content-Type": "image/png"}),
    ]

    assert "# Héllo\n" == send(client, "get_model_readme", MODEL).data
    assert b"\x89PNG\r\n\x00\xff" == send(client, "download_file", EXPECTED["download_file"][0]).data


def test_a_large_page(client, server):
    """A list of two megabytes arrives completely, over a reused connection."""
    page = {"id": "made", "next": None, "results": [{"id": str(i), "text": "é" * 100} for i in range(10_000)]}
    server.answers.append(Answer(body=json.dumps(page, ensure_ascii=False).encode()))

    assert page == send(client, "list_predictions", {}).data
    send(client, "get_account", {})
    assert (2, 1) == (len(server.requests), server.connections)


def test_chunked_answers(client, server):
    """An answer without a length is read to its end."""
    body = b'6\r\n{"a": \r\n3\r\n[1]\r\n1\r\n}\r\n0\r\n\r\n'
    server.answers.append(Answer(body=body, headers={"Content-Length": None, "Transfer-Encoding": "chunked"}))

    assert {"a": [1]} == send(client, "get_account", {}).data


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("get_prediction", {"prediction_id": "x" * 100_000}),
        ("get_prediction", {"prediction_id": "é" * 2_000}),
        ("list_predictions", {"cursor": "x" * 100_000}),
    ],
)
def test_the_length_of_an_address_is_limited(client, server, name, arguments):
    """A path whose encoded length is too large is refused before sending."""
    with pytest.raises(ArgumentError, match="a path of at most 8000 characters"):
        send(client, name, arguments)

    assert [] == server.requests


@given(st.text(min_size=1))
def test_an_identifier_is_one_path_segment(text):
    """Any identifier becomes one path segment that decodes to the same identifier."""
    try:
        encoded = segment(text)
    except UnicodeEncodeError:
        return  # a lone surrogate is refused earlier

    assert text == unquote(encoded)
    assert not set(encoded) & set("/?#%20 ") - {"%", "2", "0"}


# Files ------------------------------------------------------------------------------------------------------------


def parts_of(request):
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    found = {}
    for part in request.body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.strip(b"\r\n").partition(b"\r\n\r\n") if part.count(b"\r\n\r\n") else (part, b"", b"")
        name = head.split(b'name="')[1].split(b'"')[0].decode()
        found[name] = (head.decode(), content)
    return found


def test_a_file_keeps_its_name_and_type(client, server):
    """The part with the content has filename and MIME type, and the metadata part is JSON."""
    send(client, "create_file", {
        "content": "a,b\n", "filename": "tablé.csv", "type": "text/x-table", "metadata": {"id": 1},
    })  # fmt: skip

    parts = parts_of(server.requests[0])
    head, content = parts["content"]
    assert b"a,b" == content
    assert 'filename="tablé.csv"' in head
    assert "Content-Type: text/x-table" in head
    assert "application/json" in parts["metadata"][0]
    assert b'{"id":1}' == parts["metadata"][1]


@pytest.mark.parametrize(
    ("filename", "mime"), [("a.zip", "application/zip"), ("cat.png", "image/png"), ("x", "application/octet-stream")]
)
def test_the_type_of_a_file_follows_from_its_name(client, server, filename, mime):
    """Without a type the name decides; an unknown name gives the type for plain bytes."""
    send(client, "create_file", {"content": b"1", "filename": filename})

    assert f"Content-Type: {mime}" in parts_of(server.requests[0])["content"][0]


def test_a_filename_cannot_leave_its_header(client, server):
    """Quotes and line ends in a filename remain part of the filename."""
    send(client, "create_file", {"content": b"1", "filename": 'a"\r\nX-Evil: 1\r\n\r\n.txt'})

    assert b"\r\nX-Evil" not in server.requests[0].body
    assert b'filename="a%22%0D%0AX-Evil: 1%0D%0A%0D%0A.txt"' in server.requests[0].body


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"content": b"x" * (MAX_FILE + 1)}, "the API accepts at most 104857600"),
        ({"content": b"x", "filename": "é" * 128}, "expected at most 255 bytes, got 256 - at `filename`"),
        ({"content": b"x", "type": "text/plain\r\nX: 1"}, "expected a MIME type such as image/png"),
        ({"content": 5}, "expected bytes or text, got integer 5 - at `content`"),
    ],
    ids=["size", "filename", "type", "content"],
)
def test_invalid_files_are_refused_before_sending(client, server, arguments, message):
    """Files that the API would refuse after the upload are refused before it."""
    with pytest.raises(ArgumentError) as caught:
        send(client, "create_file", arguments)

    assert message in caught.value.message
    assert [] == server.requests
