"""Texts from a script are limited before processing, for each service and in a whole run."""

import time
import tracemalloc

import msgspec
import pytest

from kosmolua import Host
from kosmolua.errors import ArgumentError, KosmoError, UsageError
from kosmolua.manual import pages
from kosmolua.replicate.catalogue import SERVER
from kosmolua.replicate.inline import MAX_INLINE, content_of
from kosmolua.replicate.request import MAX_URL
from kosmolua.replicate.urls import next_cursor
from kosmolua.services.download import ATTEMPTS, PER_ATTEMPT, Download

LONG = "a" * 2_000_000
MADE_OF = {"made_of": {}, "input": {}, "age": "1h"}
TEXTS = {
    "require": {"name": LONG},
    "follow": {"stream": 1, "url": f"https://replicate.delivery/{LONG}"},
    "download": {"url": f"https://replicate.delivery/{LONG}", "path": "out/x"},
    "download path": {"url": "https://replicate.delivery/x", "path": LONG},
    "download sha256": {"url": "https://replicate.delivery/x", "path": "out/x", "sha256": LONG},
    "cursor": {"next": f"https://api.replicate.com/v1/x?cursor={LONG}"},
    "docs": {"action": "search", "text": LONG},
    "docs page": {"action": "read", "text": LONG},
    "plan": {"ref": f"a/{LONG}", "input": {}},
    "recall": {**MADE_OF, "age": LONG},
    "recall version": {**MADE_OF, "version": LONG},
    "keep": {**MADE_OF, "id": LONG},
    "plan account": {"ref": "a/b", "input": {}, "account": LONG},
}


@pytest.fixture
def services(tmp_path):
    """The services of a run whose directory `out` is open."""
    from kosmolua.gate.files import Files
    from kosmolua.services.services import Services

    (tmp_path / "out").mkdir()
    with Host(emulate=True) as host, host.session("x") as session:
        yield Services(Files([str(tmp_path)], [str(tmp_path)]), str(tmp_path), lambda: session)


@pytest.mark.parametrize("name", TEXTS)
def test_a_service_refuses_a_long_text(services, name):
    """The error comes at once, and does not repeat the text."""
    arguments = msgspec.msgpack.encode(TEXTS[name])
    began = time.process_time()
    with pytest.raises(KosmoError) as caught:
        services(f"host.{name.partition(' ')[0]}", arguments)

    assert caught.value.code in {"invalid_arguments", "usage"}
    assert len(caught.value.message) < 500
    assert time.process_time() - began < 0.3


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("create_prediction", "{ version = text, input = {} }"),
        ("get_model", "{ model_owner = text, model_name = 'b' }"),
        ("get_prediction", "{ prediction_id = text }"),
        ("list_predictions", "{ cursor = text }"),
    ],
)
def test_a_call_with_a_long_text_costs_little(function, arguments):
    """A call with a long text is refused, or is sent unchanged and refused by the API."""
    source = f"local text = ('a/'):rep(1e6) return pcall(replicate.{function}, {arguments})"
    with Host(emulate=True) as host:
        result = host.run(source)

    assert result.error is None
    assert result.results[0] is False
    assert result.host_cpu < 1


@pytest.mark.parametrize("account", ["a" * 201, "a" * 2_000_000])
def test_an_account_with_a_long_name(account):
    """A long account name does not fit into a frame, so the call is refused."""
    with Host(emulate=True) as host:
        result = host.run(f"return pcall(replicate.account('{account}').get_account)")

    assert result.error or result.results[0] is False
    assert result.host_cpu < 1


def test_a_search_is_bounded():
    """Only the start of a long query is searched, in any number of searches."""
    began = time.process_time()
    found = [pages.search("cancel prediction " + f"qzxv{number} " * 100_000) for number in range(20)]

    assert "cancel_prediction" in {entry["name"] for entry in found[0]}
    assert time.process_time() - began < 2


@pytest.mark.parametrize("link", ["x" * (MAX_URL + 1), f"{SERVER}/x?cursor={LONG}", ["x"], {"a": 1}, 1, True])
def test_a_page_link_is_bounded(link):
    """A page link that is too long or not text is refused."""
    with pytest.raises(KosmoError, match="is not a URL of at most 8192 characters"):
        next_cursor({"next": link}, SERVER)


# Data URLs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", range(-4, 3))
def test_a_data_url_is_decoded_in_any_pieces(cut):
    """A percent sign may end a piece; text that is not a valid encoding is unchanged."""
    text = "a" * (65536 + cut) + "%41%4" + "g" * 65536 + "%zz%C3%A9%"
    kind, content = content_of(f"data:text/plain,{text}", function="download")

    assert ("text/plain", b"a" * (65536 + cut) + b"A%4" + b"g" * 65536 + b"%zz\xc3\xa9%") == (kind, content)


def test_a_data_url_takes_little_memory():
    """Decoding takes memory for the content, not sixty bytes per percent sign, which would be over a gigabyte."""
    url = "data:," + "%41" * 900_000
    tracemalloc.start()
    _, content = content_of(url, function="download")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert b"A" * 900_000 == content
    assert peak < 12_000_000


@pytest.mark.parametrize(
    "url", ["data:," + "%41" * 1_100_000, "data:," + "a" * MAX_INLINE, "data:" + "a;" * 1_000_000 + ",x"]
)
def test_a_data_url_over_the_limit(url):
    """A data URL over the limit is refused before decoding."""
    began = time.process_time()
    with pytest.raises(UsageError, match="data URL"):
        content_of(url, function="download")

    assert time.process_time() - began < 0.3


# Downloads --------------------------------------------------------------------------------------------------------


class Part:
    """The bytes of one download attempt."""

    status = 206

    def __init__(self, start, pieces, *, fails):
        self.headers = {"content-range": f"bytes {start}-", "etag": '"a"'}
        self.pieces, self.fails = pieces, fails

    def __iter__(self):
        from kosmolua.errors import TransportError

        yield from self.pieces
        if self.fails:
            raise TransportError("lost")

    def close(self):
        pass


def fetched(pieces, tmp_path, now=time.monotonic):
    """The number of attempts of a download whose attempts all bring these pieces and fail."""
    starts = []

    def begin(part):
        starts.append(int(part["range"][6:-1]) if part else 0)
        return Part(starts[-1], pieces, fails=True)

    with open(tmp_path / "file", "w+b") as file, pytest.raises(KosmoError) as caught:
        Download(file, sleep=lambda _: None, now=now).fetch(begin)
    return len(starts), caught.value


@pytest.mark.parametrize("piece", [b"x", b"x" * 1000])
def test_a_download_of_a_few_bytes_per_attempt(tmp_path, piece):
    """A download ends with an error if each attempt brings only a few bytes."""
    attempts, _ = fetched([piece], tmp_path)

    assert attempts == ATTEMPTS + 1


def test_a_slow_download(tmp_path):
    """A download with too few bytes per second ends, also within one attempt."""
    ticks = iter(range(0, 10_000_000, 40))
    _, error = fetched([b"x"] * 100, tmp_path, lambda: next(ticks))

    assert "bytes per second" in error.message


def test_attempts_that_transfer_enough_do_not_count(tmp_path):
    """A large file over a bad connection is fetched in as many attempts as it needs."""
    left = iter([True] * 30)

    def begin(part):
        start = int(part["range"][6:-1]) if part else 0
        return Part(start, [b"x" * PER_ATTEMPT], fails=next(left, False))

    with open(tmp_path / "file", "w+b") as file:
        assert 31 * PER_ATTEMPT == Download(file, sleep=lambda _: None).fetch(begin).size


# Files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["replicate.create_prediction{ version = 'v', input = { x = files } }",
                                  "run('a/b', { x = files }, { cache = '1h', validate = false })"])  # fmt: skip
def test_the_files_of_a_call_are_limited(tmp_path, call):
    """The number of files in a call is limited, because each file is read and hashed."""
    (tmp_path / "small").write_bytes(b"x")
    source = f"local files = {{}} for i = 1, 101 do files[i] = file('{tmp_path}/small') end {call}"
    with Host(emulate=True, allow_read=[str(tmp_path)]) as host:
        result = host.run(source)

    assert "more than 100 local files" in result.error.message


def test_too_many_files_are_an_argument_error(services):
    """The error has the same code as for other invalid arguments."""
    with pytest.raises(ArgumentError, match="length <= 600"):
        services("host.plan", msgspec.msgpack.encode({"ref": LONG, "input": {}}))
