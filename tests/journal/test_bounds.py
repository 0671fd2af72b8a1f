"""A journal is bounded in rows and bytes, and keeps only a digest of arguments that were not sent."""

import os
import sqlite3
import time
from contextlib import closing

import pytest
from recording_server import Answer
from waiting import scaled

from kosmolua.errors import JournalError, LimitError
from kosmolua.journal.arguments import digested
from kosmolua.journal.bounds import Bounds
from kosmolua.journal.cassette import Cassette, write
from kosmolua.journal.records import Head
from kosmolua.runtime.rate import RATE, Rate

BIG, MARK = "'Marked' .. 'Text'", "MarkedText"
REFUSED = f"""
local said = {{}}
for i = 1, 30 do
  local ok, why = pcall(integrations.replicate.create_prediction,
    {{ version = 'v', input = {{ text = ({BIG}):rep(50000), i = i }} }})
  said[i] = why.code
end
pcall(integrations.replicate.get_model, {{ nonsense = ({BIG}):rep(50000) }})
pcall(integrations.replicate.get_model, {{ model_owner = ({BIG}):rep(1000), model_name = 'y/z' }})
return said[1], said[30]
"""


def rows(path):
    with closing(sqlite3.connect(path)) as file:
        return file.execute("SELECT function, arguments, state FROM outcomes ORDER BY number").fetchall()


def test_refused_calls_are_kept_as_a_digest(server, flow, isolation):
    """The arguments of a refused call are stored as a digest, whatever their size, and the run can be replayed."""
    first = flow(REFUSED, write="deny", isolation=isolation).results
    sizes = os.stat(flow.path).st_size

    assert ["permission_denied", "permission_denied"] == first
    assert sizes < 100_000
    with open(flow.path, "rb") as file:
        assert MARK.encode() not in file.read()
    assert 32 == len(rows(flow.path))
    flow.calls.clear()
    assert first == flow(REFUSED, write="deny", isolation=isolation).results
    assert [] == flow.calls
    assert [] == server.requests


def test_another_refused_call_is_a_divergence(server, flow):
    """The digest detects a refused call with other arguments."""
    source = "pcall(integrations.replicate.delete_file, { file_id = '%s' })"
    flow(source % "a", write="deny")

    error = flow(source % "b", write="deny").error
    assert isinstance(error, JournalError)
    assert "delete_file" in error.message
    assert "sha256:" in error.message


def test_sent_calls_are_kept_completely(server, flow):
    """The arguments of a sent call are stored, even if the API rejected it."""
    server.default = Answer(422, b'{"detail": "no"}')
    flow("pcall(integrations.replicate.delete_file, { file_id = 'whole' })")

    assert [True] == [b"whole" in arguments for _, arguments, _ in rows(flow.path)]


def test_a_cassette_holds_the_digest(server, flow, tmp_path):
    """A cassette contains only the digest of refused arguments, and refuses a call with other arguments."""
    source = REFUSED.replace("30", "2")
    flow(source, write="deny")
    write(flow.path, str(tmp_path / "x.jsonl"), lambda _: False)
    assert MARK not in (tmp_path / "x.jsonl").read_text()
    cassette = Cassette(str(tmp_path / "x.jsonl"), Head(script="flow.lua", source=source.encode()))

    class Request:
        task, number, function, account, arguments = 0, 1, "get_model", "", b"\x80"

    assert all(call.digest for call in cassette._calls)
    with pytest.raises(JournalError):
        cassette.recall(Request, 1)
    assert digested(b"\x80")[0].hex() not in {call.digest for call in cassette._calls}


LOOP = "local n = 0 pcall(function() while true do time() n = n + 1 end end) return n"


def test_rows_are_bounded(server, flow, isolation):
    """A loop that calls time() ends with an error that names the limit, and with a hint."""
    result = flow(LOOP, bounds=Bounds(rows=500), isolation=isolation)

    assert isinstance(result.error, LimitError)
    assert f"the run added 500 rows to its journal {flow.path}, the maximum for one run" in result.error.message
    assert {"limit": "journal_rows", "value": 500} == result.error.detail
    assert "run the same command again" in result.error.hint
    assert 500 == len(rows(flow.path))


def test_bytes_are_bounded(server, flow):
    """Answers and arguments count toward the size limit; nothing is sent after they exceed it."""
    server.default = Answer(body=b'{"text": "' + b"x" * 10_000 + b'"}')
    result = flow("while true do integrations.replicate.get_account{} end", bounds=Bounds(size=100_000))

    assert {"limit": "journal_size", "value": 100_000} == result.error.detail
    assert 10 == len(server.requests)
    assert os.stat(flow.path).st_size < 300_000


def test_a_run_continues_from_a_full_journal(server, flow):
    """A resumed run replays the answers of a full journal and gets the same space again, so that paid results are not
    lost."""
    source = "local said = {} for i = 1, 25 do said[i] = time() end return said"
    ended = [flow(source, bounds=Bounds(rows=10)) for _ in range(3)]

    assert [True, True, False] == [isinstance(each.error, LimitError) for each in ended]
    assert 25 == len(rows(flow.path))
    assert ended[2].results == flow(source, bounds=Bounds(rows=0)).results


def test_concurrent_requests_are_bounded(server, flow):
    """The limit of rows also applies to the requests of concurrent tasks."""
    source = "parallel(range, function() while true do sleep(0) end end)".replace("range", "{ 1, 2, 3, 4 }")
    result = flow(source, bounds=Bounds(rows=200))

    assert "journal_rows" == result.error.detail["limit"]
    assert len(rows(flow.path)) < 300


def test_calls_of_time_are_rate_limited(server, flow):
    """The first rows of a run are not slowed down; after this burst a row is written every half millisecond."""
    began = time.monotonic()
    flow("for i = 1, 14000 do time() end for i = 1, 2000 do sleep(0) end")
    took = time.monotonic() - began

    assert took > 6000 / RATE * 0.9
    assert 16_000 == len(rows(flow.path))
    began = time.monotonic()
    flow("for i = 1, 14000 do time() end for i = 1, 2000 do sleep(0) end")
    assert time.monotonic() - began < took


def test_a_rate_is_held_and_recovers():
    """The rate is limited after the burst; a pause restores at most the burst."""
    rate = Rate(burst=10, rate=100)
    began = time.monotonic()
    for _ in range(30):
        rate.wait()

    assert 0.15 < time.monotonic() - began < scaled(1)
