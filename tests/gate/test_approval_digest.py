"""What a decision is bound to: two calls that differ in anything have different digests."""

import hashlib
from itertools import combinations

from kosmolua.gate.approval import digest_of
from kosmolua.replicate.structs import FileContent, LocalFile

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
    """In function, account, a field, a type, a file's path or content, or by a table that looks like a file."""
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


def test_a_file_counts_with_its_content():
    """The path of a file and the content that was read from it have the same digest."""
    named = digest_of("create_file", "a", {"content": LocalFile(path="p")}, Contents())

    assert named == digest_of("create_file", "a", {"content": held("p", b"a")}, None)
