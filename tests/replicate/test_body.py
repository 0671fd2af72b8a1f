"""Reading an answer beyond a limit ends quickly, uses little memory, and gives the right error for its status."""

import gzip
import json
import resource
import subprocess
import sys
import threading
import time
import zlib
from contextlib import suppress
from itertools import repeat

import pytest
from recording_server import Answer, RecordingServer
from sending import send
from sleep_recorder import SleepRecorder

from kosmolua.errors import ApiError, KosmoError, TransportError, UncertainError
from kosmolua.replicate import body
from kosmolua.replicate.body import Garbled, Room, TooMuch, check_values, decoded, gathered
from kosmolua.replicate.client import Client

CREATE = ("create_prediction", {"version": "v", "input": {}})
GET = ("get_prediction", {"prediction_id": "p"})
DOCUMENT = json.dumps({"id": "p", "logs": "ab" * 5000}).encode()


def raw_deflate(data):
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


@pytest.fixture
def client(server):
    with Client(token="r8_token_of_tests", base_url=server.url, clock=SleepRecorder()) as made:
        yield made


class Endless:
    """An answer that continues until the client closes the connection."""

    cut, keep = None, False

    def __init__(self, status, headers=b"", piece=b"x" * 65536):
        self.head = b"HTTP/1.1 %d Some\r\n%s\r\n" % (status, headers)
        self.piece = piece


class EndlessServer(RecordingServer):
    """A server that sends an `Endless` answer."""

    def _talk(self, connection):
        reader = connection.makefile("rb")
        with connection, reader, suppress(OSError):
            while reader.readline() not in (b"\r\n", b""):
                pass
            self.requests.append(None)
            connection.sendall(self.default.head)
            for piece in repeat(self.default.piece):
                connection.sendall(piece)


# Codings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coding", "encode"),
    [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("GZIP ", gzip.compress), ("deflate", zlib.compress),
     ("deflate", raw_deflate), ("identity", bytes), ("", bytes),
     ("gzip", lambda data: gzip.compress(data[:7]) + gzip.compress(data[7:]) + b"\0\0")],
)  # fmt: skip
def test_one_coding_is_decoded(server, client, coding, encode):
    """The usual HTTP codings are decoded, also with several members and padding."""
    server.default = Answer(200, encode(DOCUMENT), {"Content-Encoding": coding})

    assert json.loads(DOCUMENT) == send(client, *GET)


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_a_coding_is_decoded_in_any_pieces(size):
    """The pieces may end in a coding's header, between members, or within a byte."""
    data = gzip.compress(b"a" * 300_000) + gzip.compress(b"b")
    pieces = [data[at : at + size] for at in range(0, len(data), size)]

    assert b"a" * 300_000 + b"b" == b"".join(decoded(pieces, {"content-encoding": "gzip"}))


@pytest.mark.parametrize("coding", ["gzip, gzip", "gzip,deflate", "br", "zstd", "compress"])
def test_another_coding_is_refused(server, client, coding):
    """The error names a coding that was not requested; two codings would turn kilobytes into gigabytes."""
    server.default = Answer(200, gzip.compress(gzip.compress(b"{}")), {"Content-Encoding": coding})
    with pytest.raises(TransportError, match="Content-Encoding") as caught:
        send(client, *GET)

    assert repr(coding) in caught.value.message
    with pytest.raises(UncertainError, match="Content-Encoding"):
        send(client, *CREATE)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_truncated_compression_is_an_error(coding):
    """Truncated data is not treated as complete."""
    data = {"gzip": gzip.compress, "deflate": zlib.compress}[coding](DOCUMENT)
    with pytest.raises(Garbled):
        gathered(decoded([data[:-9]], {"content-encoding": coding}), 1 << 20)


@pytest.mark.parametrize("status", [200, 404, 429, 500])
def test_a_decompression_bomb(server, client, status):
    """Of 4 GB compressed to 4 MB, only data up to the limit is decompressed."""
    piece = gzip.compress(b"\0" * (1 << 26))
    server.default = Answer(status, piece * 64, {"Content-Encoding": "gzip"})
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ApiError) as caught:
        send(client, *GET)

    assert status == caught.value.status
    assert time.process_time() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


# Bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [b"", b"Content-Length: 99999999999\r\n"], ids=["to the end", "of a length"])
@pytest.mark.parametrize("call", [GET, CREATE], ids=["get", "create"])
@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_an_endless_error_answer(call, status, headers):
    """An endless error answer is read up to a limit."""
    server = EndlessServer()
    server.default = Endless(status, headers)
    began = time.process_time()
    with Client(token="r8_token_of_tests", base_url=server.url, clock=SleepRecorder()) as client:
        with pytest.raises(ApiError) as caught:
            send(client, *call)
    server.close()

    assert status == caught.value.status
    assert time.process_time() - began < 2


def test_an_endless_success():
    """The answer ends at the limit, and is requested only once."""
    server = EndlessServer()
    server.default = Endless(200)
    with Client(token="r8_token_of_tests", base_url=server.url, clock=SleepRecorder()) as client:
        with pytest.raises(ApiError, match=f"longer than {body.MAX_ANSWER} bytes"):
            send(client, *GET)
    server.close()

    assert 1 == len(server.requests)


def test_tiny_pieces_are_bounded():
    """Pieces are limited in number, because each takes some microseconds, however small it is."""
    with pytest.raises(TooMuch, match="tiny pieces"):
        gathered(repeat(b"x"), body.MAX_ANSWER)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[" + b"{}," * 300_000 + b"{}]", "objects and lists"),
        (b"[" * 300_000, "objects and lists"),
        (b"[" + b"0," * 1_100_000 + b"0]", "values"),
        (b'{"a":"' + b'\\",{[' * 400_000 + b'","b":[' + b"{}," * 300_000 + b"{}]}", "objects and lists"),
    ],
)
def test_values_are_counted_before_they_are_created(server, client, data, words):
    """Values are counted first, because three bytes of an answer can take a hundred bytes in memory."""
    server.default = Answer(200, data)
    with pytest.raises(ApiError, match=f"more than [0-9]+ {words}"):
        send(client, *GET)
    with pytest.raises(UncertainError, match=words):
        send(client, *CREATE)


@pytest.mark.parametrize("text", ["{}," * 1_000_000, '\\",[' * 700_000, "," * 3_000_000])
def test_text_does_not_count_as_values(text):
    """Text can have any number of commas and brackets."""
    check_values(json.dumps({"logs": text}).encode())


LARGE = """
import resource, sys, threading
from kosmolua.gate.functions import resolve
from kosmolua.replicate.body import Room
from kosmolua.replicate.client import Client
from kosmolua.replicate.structs import decode_arguments
operation = resolve("get_prediction")
given = decode_arguments(operation, {"prediction_id": "p"})
room = Room()
with Client(token="r8_token_of_tests", base_url=sys.argv[1], room=room) as client:
    def ask():
        room.enter()
        assert len(client.send(operation, given).data) == 240_001
        room.leave()
    ask()
    alone = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    threads = [threading.Thread(target=ask) for _ in range(16)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    print(alone, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_large_answers_share_a_limit(server):
    """Sixteen concurrent large answers take the memory of a few."""
    server.default = Answer(200, b"[" + b'{"a":1},' * 240_000 + b"0]")
    found = subprocess.run([sys.executable, "-c", LARGE, server.url], capture_output=True, text=True, check=True)
    alone, together = map(int, found.stdout.split())

    assert together - alone < 2 * 70_000


def test_memory_is_released_after_nested_use():
    """Memory taken in a nested use is released after the outermost use, and the next user then gets it."""
    room, entered = Room(), threading.Event()

    def other():
        room.enter()
        room.take()
        entered.set()
        room.leave()

    room.enter()
    room.enter()
    room.take()
    thread = threading.Thread(target=other)
    thread.start()
    room.leave()
    waits = not entered.is_set()
    room.leave()
    thread.join(5)

    assert (True, True) == (waits, entered.is_set())


def test_a_session_survives_a_hostile_answer(server, client):
    """After a hostile answer, the session's next call works."""
    server.answers.extend([Answer(200, b"[" * 300_000), Answer(200, b'{"id":"p"}')])
    with pytest.raises(KosmoError):
        send(client, *GET)

    assert {"id": "p"} == send(client, *GET)
