"""A version's schema is read once through the gate, and later from disk."""

import os
import threading

import pytest

from kosmolua.emulator import Emulator
from kosmolua.errors import ApiError, UsageError
from kosmolua.gate.policy import policy_of
from kosmolua.gate.session import Session
from kosmolua.replicate.client import Client
from kosmolua.replicate.in_process import InProcessTransport
from kosmolua.replicate.versions import Reference, Versions, parse
from kosmolua.services import schemas
from kosmolua.services.schemas import Cache
from kosmolua.settings import config

HELLO = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
SDXL = "da77bc59ee60423279fd632efb4795ab731d9e3ca9705ef3341091fb989b7eaf"
URL = "http://emulator.localhost/v1"
SCHEMA = {"components": {"schemas": {"Input": {"properties": {"text": {"type": "string"}}}}}}


@pytest.fixture
def session():
    """A session with the emulator, whose log has the calls."""
    emulator = Emulator(seed="versions")

    def connect(_):
        return Client(token="r8_token", base_url=URL, transport=InProcessTransport(emulator))

    with Session(connect, policy_of(config.load({}))) as made:
        yield made


@pytest.fixture
def cache(tmp_path):
    return Cache(str(tmp_path / "cache" / "versions"))


def over(session, cache=None):
    return Versions(lambda function, arguments: session.call(function, arguments).data, cache)


def asked(session):
    return [entry.function for entry in session.log]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("meta/llama-3", Reference("meta", "llama-3")),
        ("a.b_c/d", Reference("a.b_c", "d")),
        (f"replicate/hello-world:{HELLO}", Reference("replicate", "hello-world", HELLO)),
        (HELLO, Reference(version=HELLO)),
        ("deployments/me/mine", Reference("me", "mine", deployment=True)),
    ],
)
def test_references(text, expected):
    """A reference names a model, a version of a model, a version alone, or a deployment."""
    assert expected == parse(text)


@pytest.mark.parametrize(
    "text",
    ["", "a", "a/", "/b", "a/b/c", "a/b:", "a/b:latest", "../b", "a/..", "a/b?x=1", "a /b", "a/b\n", HELLO[:-1],
     f"deployments/a/b:{HELLO}", "https://replicate.com/a/b"],
)  # fmt: skip
def test_invalid_references_are_refused(text):
    """Invalid text is refused before it becomes part of a path."""
    with pytest.raises(UsageError, match="expected owner/name or owner/name:version, got "):
        parse(text)


def test_a_token_given_as_a_reference():
    """The error does not repeat the token."""
    with pytest.raises(UsageError, match="got what looks like a token"):
        parse("r8_secret")


@pytest.mark.parametrize(
    ("reference", "version", "calls"),
    [
        ("replicate/hello-world", HELLO, ["get_model"]),
        (f"replicate/hello-world:{HELLO}", HELLO, ["get_model_version"]),
        ("deployments/emulator/my-app-image-generator", SDXL, ["get_deployment", "get_model_version"]),
    ],
)
def test_finding_a_version(reference, version, calls, session):
    """The schema is read through the session, so the gate and the log see the call."""
    found = over(session).find(reference)

    assert version == found.id
    assert found.inputs.fields
    assert found.output["kind"] in {"text", "files"}
    assert calls == asked(session)


def test_a_version_is_requested_once(session):
    """Of many threads that need a version at once, one requests it."""
    known = over(session)
    threads = [threading.Thread(target=known.find, args=["replicate/hello-world"]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ["get_model"] == asked(session)


def test_a_version_without_its_model(session, cache):
    """A bare version cannot be requested, but is known if its schema is on disk."""
    reference = f"replicate/hello-world:{HELLO}"

    assert over(session, cache).find(HELLO) is None
    assert over(session, cache).find(reference) == over(session, cache).find(HELLO)
    assert ["get_model_version"] == asked(session)


def test_a_model_without_a_version(session):
    """A model without a version has no schema to check against."""
    assert over(session).find("emulator/my-sdxl") is None


def test_unknown_versions_give_none(session):
    """For an unknown model, an invalid name or a denied call, prefetching gives None."""
    denied = Session(session._client, policy_of(config.load({}, read="deny")))

    assert over(session).known("nobody/nothing") is None
    assert over(session).known("no reference") is None
    assert over(denied).known("replicate/hello-world") is None
    with pytest.raises(ApiError):
        over(session).find("nobody/nothing")


@pytest.mark.parametrize("answer", [None, [], {}, {"latest_version": 5}, {"latest_version": {"id": 7}},
                                    {"latest_version": {"openapi_schema": {}}}, "text"])  # fmt: skip
def test_odd_answers(answer):
    """An answer without a version means that the model has none."""
    assert Versions(lambda *_: answer).find("a/b") is None


def test_an_unreadable_schema_is_not_cached(cache):
    """A version may have no schema, or an invalid one."""
    found = Versions(lambda *_: {"latest_version": {"id": HELLO, "openapi_schema": "odd"}}, cache).find("a/b")

    assert (HELLO, "odd", None) == (found.id, found.schema, cache.get(HELLO))


# On disk ----------------------------------------------------------------------------------------------------------


def test_a_version_is_cached_on_disk(session, cache):
    """The next process reads the version from disk."""
    first = over(session, cache).find(f"replicate/hello-world:{HELLO}")
    second = over(session, cache).find(f"replicate/hello-world:{HELLO}")

    assert first == second
    assert ["get_model_version"] == asked(session)


def test_only_the_owner_can_read_the_directory(cache, tmp_path):
    """The directory is private because it has schemas of private models."""
    cache.put(HELLO, SCHEMA)

    (file,) = (tmp_path / "cache" / "versions").iterdir()
    assert f"{HELLO}.json" == file.name
    assert (0o700, 0o600) == (file.parent.stat().st_mode & 0o777, file.stat().st_mode & 0o777)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff", b"null", b"[" * 100_000, b" " * 2_000_000 + b"{}"])
def test_a_damaged_file(damage, cache, tmp_path):
    """A damaged file counts as missing and is rewritten."""
    cache.put(HELLO, SCHEMA)
    file = tmp_path / "cache" / "versions" / f"{HELLO}.json"
    file.write_bytes(damage)

    assert cache.get(HELLO) is None
    cache.put(HELLO, SCHEMA)
    assert SCHEMA == cache.get(HELLO)


@pytest.mark.parametrize("version", ["", "..", "../" + HELLO, HELLO.upper(), HELLO + "\n", "hidden", HELLO[1:]])
def test_unusual_ids_are_not_used_as_file_names(version, cache, tmp_path):
    """Only ids in the API's form become file names."""
    cache.put(version, SCHEMA)

    assert (None, []) == (cache.get(version), list(tmp_path.rglob("*")))


def test_a_link_is_not_followed(cache, tmp_path):
    """A linked file is neither read as a schema nor written."""
    cache.put(HELLO, SCHEMA)
    file, other = tmp_path / "cache" / "versions" / f"{HELLO}.json", tmp_path / "other.json"
    other.write_text('{"mine": true}')
    file.unlink()
    file.symlink_to(other)

    assert cache.get(HELLO) is None
    cache.put(HELLO, SCHEMA)
    assert ('{"mine": true}', SCHEMA) == (other.read_text(), cache.get(HELLO))


def test_an_unwritable_disk_is_ignored(tmp_path):
    """If the disk is not writable, nothing is cached and nothing fails."""
    (tmp_path / "file").write_text("in the way")
    cache = Cache(str(tmp_path / "file" / "versions"))
    cache.put(HELLO, SCHEMA)

    assert cache.get(HELLO) is None


def test_a_large_schema_is_not_cached(cache, tmp_path):
    """A schema above a megabyte is requested each time."""
    cache.put(HELLO, {"big": "x" * schemas.MAX_SCHEMA})

    assert [] == list(tmp_path.rglob("*"))


def test_the_least_recently_used_files_are_deleted(cache, tmp_path):
    """Above the limit, the least recently used files are deleted."""
    directory = tmp_path / "cache" / "versions"
    for number in range(schemas.MAX_FILES):
        cache.put(f"{number:064x}", SCHEMA)
        os.utime(directory / f"{number:064x}.json", (number, number))
    cache.get(f"{0:064x}")
    cache.put("f" * 64, SCHEMA)

    names = {file.name for file in directory.iterdir()}
    assert schemas.MAX_FILES == len(names)
    assert {f"{0:064x}.json", f"{2:064x}.json", f"{'f' * 64}.json"} <= names
    assert f"{1:064x}.json" not in names


def test_the_total_size_is_limited(cache, tmp_path):
    """Large schemas replace one another."""
    large = {"big": "x" * (schemas.MAX_SCHEMA - 20)}
    for number in range(40):
        cache.put(f"{number:064x}", large)

    sizes = [file.stat().st_size for file in (tmp_path / "cache" / "versions").iterdir()]
    assert schemas.MAX_SIZE - schemas.MAX_SCHEMA < sum(sizes) <= schemas.MAX_SIZE
