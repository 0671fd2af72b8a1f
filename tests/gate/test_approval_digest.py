"""A decision is bound to a digest: two calls that differ in any way have different digests."""

import hashlib
from itertools import combinations
from typing import Any

import pytest
from msgspec import Struct

from kosmolua.errors import UsageError
from kosmolua.gate.approval import digest_of
from kosmolua.gate.files import Files
from kosmolua.gate.uploads import Uploads
from kosmolua.replicate.structs import FileContent, LocalFile


class Asked(Struct):
    """The arguments of a call with this input."""

    input: dict[str, Any]


HASH = hashlib.sha256(b"a").hexdigest()


class Held(FileContent, frozen=True):
    """A file in memory."""

    data: bytes

    def pieces(self):
        yield self.data


class Contents:
    """Local files that all have the same content."""

    def content(self, path):
        return held(path, b"a")


def held(path, data):
    return Held(path=path, size=len(data), data=data)


def test_calls_that_differ_have_different_digests():
    """The calls differ in function, account, field, type, file path or content, or have a table like a file."""
    calls = [
        ("create_prediction", "a", {}),
        ("create_training", "a", {}),
        ("create_prediction", "b", {}),
        *(
            ("create_prediction", "a", {"input": value})
            for value in (
                *(
                    None,
                    True,
                    False,
                    1,
                    0,
                    1.0,
                    -0.0,
                    0.0,
                    "1",
                    b"1",
                    [],
                    {},
                    [1],
                    [[1]],
                    {"1": 1},
                    "",
                    2**64,
                    str(2**64),
                ),
                {"digits": str(2**64)},
                ["digits", str(2**64)],
                {"file": "p", "sha256": HASH},
                ["file", "p", HASH],
                held("p", b"a"),
                held("p", b"b"),
                held("q", b"a"),
                {"a": {"b": 1}, "c": 2},
                {"a": {"b": 1, "c": 2}},
                ["table", {}],
                ["list", []],
            )
        ),
        ("create_prediction", "a", {"input": None, "webhook": "https://example.com"}),
        ("create_prediction", "a", {"input": None, "prefer": "wait=5"}),
    ]
    digests = [digest_of(*call, Contents()) for call in calls]

    assert [] == [(calls[a], calls[b]) for a, b in combinations(range(len(calls)), 2) if digests[a] == digests[b]]


def test_a_file_counts_by_its_content():
    """The path of a file and the content that was read from it have the same digest."""
    named = digest_of("create_file", "a", {"content": LocalFile(path="p")}, Contents())

    assert named == digest_of("create_file", "a", {"content": held("p", b"a")}, None)


def test_a_file_that_changes_after_its_digest_is_not_sent_completely(tmp_path):
    """A decision is bound to the content: sending other content of the same length stops before the last piece."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"a" * 600_000)
    content = Files((str(tmp_path),)).content(str(path))
    before = content.digest()
    whole = b"".join(content.pieces())
    path.write_bytes(b"a" * 599_999 + b"b")
    sent = list[bytes]()
    with pytest.raises(UsageError, match="changed while it was read"):
        sent.extend(content.pieces())

    assert before == hashlib.sha256(whole).hexdigest()
    assert 2 == len(sent)


def test_pinned_files_are_sent_unchanged(tmp_path):
    """A small file in an input is sent as it was when its digest was computed, or not at all."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"harmless")
    files = Files((str(tmp_path),))
    uploads = Uploads(files, lambda given, account: None)
    asked = Asked(input={"images": [LocalFile(path=str(path))]})
    pinned = uploads.pinned(asked)
    digest_of("create_prediction", "default", {"input": pinned.input}, files)
    first = uploads.replaced(pinned, "default").input
    path.write_bytes(b"harmful!")

    assert {"images": ["data:text/plain;base64,aGFybWxlc3M="]} == first
    with pytest.raises(UsageError, match="changed while it was read"):
        uploads.replaced(pinned, "default")
