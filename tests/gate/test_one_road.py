"""A URL of the API is an operation: every fetch by URL refuses such a URL in any spelling, and sends nothing."""

import pytest
from recording_server import Answer

from kosmolua.errors import KosmoError, LimitError, PermissionDeniedError, UsageError
from kosmolua.gate.budget import Budget, Caps
from kosmolua.gate.needs import Needs
from kosmolua.gate.policy import policy_of
from kosmolua.gate.run import Run
from kosmolua.gate.session import NothingFetchedError, Session
from kosmolua.replicate import catalogue
from kosmolua.replicate.catalogue import DOWNLOAD, STREAM
from kosmolua.replicate.client import Client
from kosmolua.settings import config

SECRET = "/v1/webhooks/default/secret"
# Spellings of API URLs, each with its operation; {port} and {host} are the server's.
WRITTEN = {
    "plain": ("http://{host}:{port}" + SECRET, "get_default_webhook_secret"),
    "case of the scheme": ("HTTP://{host}:{port}" + SECRET, "get_default_webhook_secret"),
    "case of the path": ("http://{host}:{port}/V1/Account", "get_account"),
    "query and fragment": ("http://{host}:{port}/v1/models?cursor=a#b", "list_models"),
    "user": ("http://user:word@{host}:{port}/v1/models/a/b", "get_model"),
    "trailing dot of the host": ("http://{host}.:{port}/v1/account", "get_account"),
    "encoded letters": ("http://{host}:{port}/%76%31/account", "get_account"),
    "encoded twice": ("http://{host}:{port}/%2576%2531/account", "get_account"),
    "encoded slash": ("http://{host}:{port}/v1%2Faccount", "get_account"),
    "encoded backslash": ("http://{host}:{port}/v1%5Caccount", "get_account"),
    "backslash": ("http://{host}:{port}/v1\\account", "get_account"),
    "more slashes": ("http://{host}:{port}//v1///account", "get_account"),
    "dot segments": ("http://{host}:{port}/delivery/../v1/./account", "get_account"),
    "encoded dot segments": ("http://{host}:{port}/delivery/%2e%2E/v1/account", "get_account"),
    "dot segments out of the base": ("http://{host}:{port}/v1/%2e%2e/v1/account", "get_account"),
    "parameters": ("http://{host}:{port}/v1;a=b/account", "get_account"),
    "a slash at the end": ("http://{host}:{port}/v1/predictions/p/", "get_prediction"),
    "a write": ("http://{host}:{port}/v1/predictions/p/cancel", "cancel_prediction"),
    "signed": ("http://{host}:{port}/v1/files/f/download?owner=o&expiry=1&signature=s", "download_file"),
    "the public API": ("https://api.replicate.com/v1/account", "get_account"),
    "the public API with its port": ("https://API.Replicate.com:443/v1/account", "get_account"),
    "the public API over http": ("http://api.replicate.com/v1/account", "get_account"),
}
OTHER = {
    "no operation": "http://{host}:{port}/v1/nothing/there",
    "the base": "http://{host}:{port}/v1",
    "beside the public API": "https://api.replicate.com/v2/account",
    "dots that lead nowhere": "http://{host}:{port}/a/%2e%2e/b",
    "encoded without end": "http://{host}:{port}/%2525252525252576",
    "no host": "https:///v1/account",
    "an invalid host name": "https://xn--/",
    "a user": "http://user@{host}:{port}/delivery/x",
    "another port": "http://{host}:1/v1/account",
    "another name of the machine": "http://localhost:{port}/v1/account",
}


@pytest.fixture
def session(server):
    opened = []

    def make(base=None, token="r8_MarkedToken", read="allow", **options):
        made = Session(
            lambda _: Client(token=token, base_url=base or server.url),
            policy_of(config.load({}, read=read)),
            **options,
        )
        opened.append(made)
        return made

    yield make
    for made in opened:
        made.close()


def written(text, server):
    return text.replace("{host}", "127.0.0.1").replace("{port}", str(server.port))


@pytest.mark.parametrize("way", catalogue.TRANSFERS, ids=lambda way: way.name)
@pytest.mark.parametrize(("url", "operation"), WRITTEN.values(), ids=WRITTEN)
def test_a_url_of_the_api_is_refused_by_name(server, session, url, operation, way):
    """Nothing is sent, the error names the function to call, and the refusal is logged."""
    made = session()

    with pytest.raises(UsageError) as refused:
        made.open(way, {"url": written(url, server)})

    assert f"{way.name}: the URL is the API operation {operation}; it is not fetched as a file" == str(refused.value)
    assert refused.value.hint.startswith(f"call replicate.{operation} instead: ")
    assert [(way.name, "error", "usage")] == [(entry.function, entry.outcome, entry.code) for entry in made.log]
    assert [] == server.requests


@pytest.mark.parametrize("way", catalogue.TRANSFERS, ids=lambda way: way.name)
@pytest.mark.parametrize("url", OTHER.values(), ids=OTHER)
def test_addresses_without_files_are_refused(server, session, url, way):
    """The base URL has no files below it, and ambiguous URLs are not sent."""
    with pytest.raises(UsageError):
        session().open(way, {"url": written(url, server)})

    assert [] == server.requests


@pytest.mark.parametrize(("url", "operation"), WRITTEN.values(), ids=WRITTEN)
def test_a_redirect_to_the_api_is_refused(server, session, url, operation):
    """Each address of a redirect is checked like the first address."""
    server.default = Answer(302, b"", {"Location": written(url, server)})

    with pytest.raises(UsageError, match=operation):
        session().fetch(f"http://127.0.0.1:{server.port}/delivery/x", 100)

    assert ["/delivery/x"] == [request.target for request in server.requests]


@pytest.mark.parametrize(
    "location", ["/v1/account", "../v1/account", "..//v1/account", "//127.0.0.1:{port}/v1/account"]
)
def test_a_relative_redirect_is_resolved_first(server, session, location):
    """The address after resolving the redirect is refused."""
    server.default = Answer(302, b"", {"Location": written(location, server)})

    with pytest.raises(UsageError, match="get_account"):
        session().fetch(f"http://127.0.0.1:{server.port}/delivery/x", 100)

    assert 1 == len(server.requests)


@pytest.mark.parametrize(
    "location", ["http://[", "//[::1", "https://xn--/", "http://a b/", "data:,x", "x" * 60_000, ""]
)
def test_a_redirect_to_an_invalid_target_is_an_error(server, session, location):
    """The error names the invalid target; an empty target repeats the request, at most a few times."""
    server.default = Answer(302, b"", {"Location": location})

    with pytest.raises(KosmoError) as failed:
        session().fetch(f"http://127.0.0.1:{server.port}/delivery/x", 100)

    assert failed.value.code != "internal_error"
    assert len(server.requests) <= 6


@pytest.mark.parametrize(
    "path", ["/delivery/p/out.png", "/v1x/out.png", "/stream/p", "/a%20b/c%2Fd.png", "/x;v=1/y", "/replicate/out.png"]
)
def test_outputs_of_the_same_origin_are_fetched(server, session, path):
    """Outputs and streams next to the base URL, as in the emulator, are fetched with the token that they need."""
    server.default = Answer(200, b"content")

    found = session(f"http://127.0.0.1:{server.port}/replicate/v1").fetch(f"http://127.0.0.1:{server.port}{path}", 100)

    assert b"content" == found
    assert [(path, "Bearer r8_MarkedToken")] == [(r.target, r.headers["authorization"]) for r in server.requests]


def test_a_base_with_a_longer_path_is_compared_completely(server, session):
    """Only addresses below the whole base URL belong to the API."""
    made = session(f"http://127.0.0.1:{server.port}/replicate/v1")

    with pytest.raises(UsageError, match="get_account"):
        made.fetch(f"http://127.0.0.1:{server.port}/replicate/v1/account", 100)
    assert b'{"id": "made"}' == made.fetch(f"http://127.0.0.1:{server.port}/v1/account", 100)


# Data URLs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["data:,hello", "DATA:,hello", "data:text/plain;base64,aGVsbG8="])
def test_a_data_url_is_a_download(server, session, url):
    """A data URL is decided, charged and recorded like other downloads, but no request is sent."""
    made = session()

    assert b"hello" == made.fetch(url, 100)
    assert [("download", "allow", "ok")] == [(entry.function, entry.decision, entry.outcome) for entry in made.log]
    assert (1, []) == (made.budget.calls, server.requests)


@pytest.mark.parametrize(
    ("options", "error", "outcome"),
    [
        ({"read": "deny"}, PermissionDeniedError, "refused"),
        ({"read": "ask"}, PermissionDeniedError, "refused"),
        ({"run": Run(script="s", needs=Needs(functions=("get_account",)))}, PermissionDeniedError, "refused"),
        ({"budget": Budget(Caps(calls=0))}, LimitError, "error"),
        ({"dry_run": True}, NothingFetchedError, "dry_run"),
    ],
    ids=["deny", "ask", "needs", "max-calls", "dry-run"],
)
@pytest.mark.parametrize("url", ["data:,hello", "https://replicate.delivery/x"], ids=["data", "delivery"])
def test_a_data_url_is_refused_as_a_download(session, url, options, error, outcome):
    """Policy, header, budget and dry run refuse a data URL like other downloads."""
    made = session(**options)

    with pytest.raises(error):
        made.fetch(url, 100)

    assert [("download", outcome)] == [(entry.function, entry.outcome) for entry in made.log]


@pytest.mark.parametrize("url", ["data:,x", "DATA:,x"])
def test_a_data_url_is_not_a_stream(session, url):
    """A data URL has no events, so streaming it is an error."""
    with pytest.raises(UsageError, match="stream: "):
        session().open(STREAM, {"url": url})


# The token ---------------------------------------------------------------------------------------------------------

TOKEN = "r8_MarkedToken+of/the:Account"
NOTE = "the answer contained the API token or a secret header, which was removed"
FORMS = {
    "plain": TOKEN,
    "escaped": "".join(f"\\u{ord(c):04x}" for c in TOKEN),
    "escaped in part": TOKEN.replace("_", "\\u005F").replace("/", "\\/"),
    "percent-encoded": TOKEN.replace("_", "%5F").replace("+", "%2B").replace("/", "%2f").replace(":", "%3A"),
    "percent-encoded throughout": "".join(f"%{ord(c):02x}" for c in TOKEN),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_token_is_removed_from_an_answer(server, session, form):
    """The token is removed from names and values at any depth, and the call's note says so."""
    server.default = Answer(200, f'{{"id": "Bearer {form}", "{form}": [["x{form}{form}"]], "rest": "50%"}}'.encode())
    made = session(token=TOKEN)

    reply = made.call("get_prediction", {"prediction_id": "p"})

    assert {"id": "Bearer [hidden]", "[hidden]": [["x[hidden][hidden]"]], "rest": "50%"} == reply.data
    assert [NOTE] == [entry.note for entry in made.log]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_token_is_removed_from_an_error(server, session, form):
    """The token is removed from the error's detail, and the note says so."""
    server.default = Answer(
        400, f'{{"detail": "no such header: {form}", "invalid_fields": [{{"a": "{form}"}}]}}'.encode()
    )
    made = session(token=TOKEN)

    with pytest.raises(KosmoError) as failed:
        made.call("get_prediction", {"prediction_id": "p"})

    assert "no such header: [hidden]" == failed.value.to_dict()["detail"]
    assert [{"a": "[hidden]"}] == failed.value.to_dict()["invalid_fields"]
    assert [NOTE] == [entry.note for entry in made.log]


@pytest.mark.parametrize("location", ["https://evil.example/{}", "{}://x", "https://{}.example/", "/v1/{}"])
def test_the_token_is_removed_from_a_redirect(server, session, location):
    """A server may include the token in the redirect's target, from which it is removed."""
    server.default = Answer(302, b"", {"Location": location.format("r8_MarkedToken12")})

    with pytest.raises(KosmoError) as refused:
        session(token="r8_MarkedToken12").fetch(f"http://127.0.0.1:{server.port}/x", 100)

    assert "r8_MarkedToken12" not in str(refused.value.to_dict())


def test_a_note_of_the_helper_is_kept(server, session):
    """The entry has both the helper's note and the note about the token."""
    server.default = Answer(200, f'{{"id": "{TOKEN}"}}'.encode())
    made = session(token=TOKEN)
    made.call("get_prediction", {"prediction_id": "p"}, note=lambda _: "looked")

    assert [f"{NOTE}; looked"] == [entry.note for entry in made.log]


def test_the_token_is_removed_from_texts_and_files(server, session):
    """The token is removed from answers in every form."""
    server.default = Answer(200, f"before {TOKEN} after".encode(), {"X-Request-Id": f"a{TOKEN}"})
    made = session(token=TOKEN)

    text = made.call("get_model_readme", {"model_owner": "a", "model_name": "b"})
    content = made.call("download_file", {"file_id": "f", "owner": "o", "expiry": 1, "signature": "s"})

    assert ("before [hidden] after", b"before [hidden] after") == (text.data, content.data)
    assert ["a[hidden]"] * 2 == [entry.request_id for entry in made.log]


@pytest.mark.parametrize("cut", range(0, len(TOKEN) + 12, 3))
def test_the_token_is_masked_in_what_is_fetched(server, session, cut):
    """A file keeps its length, whatever its pieces are, and the entry's note says that the token was masked."""
    content = f"r8_r8_{TOKEN}r8_Marked".encode()
    chunks = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (content[:cut], content[cut:]) if part)
    server.default = Answer(
        200,
        chunks + b"0\r\n\r\n",
        {"Content-Length": None, "Transfer-Encoding": "chunked", "Content-Type": "text/plain"},
    )
    made = session(token=TOKEN)

    found = made.fetch(f"http://127.0.0.1:{server.port}/delivery/x", 1000)

    assert b"r8_r8_" + b"*" * len(TOKEN) + b"r8_Marked" == found
    assert [NOTE] == [entry.note for entry in made.log]


def test_an_answer_without_the_token_has_no_note(server, session):
    """A part of the token is not treated as the token."""
    server.default = Answer(200, b'{"id": "r8_Marked", "logs": "\\u0041 50%|"}')
    made = session(token=TOKEN)

    assert {"id": "r8_Marked", "logs": "A 50%|"} == made.call("get_prediction", {"prediction_id": "p"}).data
    assert [""] == [entry.note for entry in made.log]
    assert b'{"id": "r8_Marked", "logs": "\\u0041 50%|"}' == made.fetch(f"http://127.0.0.1:{server.port}/x", 100)


def test_reading_a_file_adds_one_entry(server, session):
    """Reading a file adds one entry to the log."""
    made = session()
    made.open(DOWNLOAD, {"url": f"http://127.0.0.1:{server.port}/x"}).close()

    assert ["download"] == [entry.function for entry in made.log]
