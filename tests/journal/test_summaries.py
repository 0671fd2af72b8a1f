"""Summaries of many journals are cached, and a summary is never used for a changed journal."""

import os
from pathlib import Path

import msgspec
import pytest

from kosmolua.gate.functions import resolve
from kosmolua.journal import runs
from kosmolua.journal.records import Head
from kosmolua.journal.summaries import summaries
from kosmolua.replicate.prices import Price, Prices
from kosmolua.runtime.tape import JournalRequest

CREATE = {"version": "acme/dusk", "input": {"prompt": "dusk"}}
HEAD = Head(script="flow.lua", source=b"return 1")
NONE = Prices()


@pytest.fixture
def environment(tmp_path):
    return {"KOSMO_STATE_DIR": str(tmp_path / "state"), "KOSMO_CACHE_DIR": str(tmp_path / "cache")}


def begin(environment, name, creates=1):
    """A journal with the given number of finished creates."""
    journal = runs.opened(environment, name, HEAD, print)
    arguments = msgspec.msgpack.encode(CREATE)
    for number in range(journal.last, journal.last + creates):
        asked = JournalRequest(0, number, "create_prediction", "", arguments)
        journal.recall(asked, 1)
        ticket = journal.begin(asked, 0)
        ticket.send(resolve("create_prediction"), CREATE)
        answer = {"id": f"p{number}", "status": "succeeded", "metrics": {"predict_time": 2.0}}
        journal.finish(ticket, msgspec.msgpack.encode(answer), ok=True)
    return journal


def made(environment, name, creates=1):
    with_it = begin(environment, name, creates)
    with_it.end(None)
    with_it.close()


def listed(environment, prices=NONE):
    return {each.name: each for each in summaries(environment, prices)}


def cached(environment):
    return Path(environment["KOSMO_CACHE_DIR"], "runs.msgpack")


def test_a_second_list_opens_no_journal(environment):
    """A second list is the same, and leaves no files next to the journals."""
    for number in range(3):
        made(environment, f"j{number}", number + 1)
    first, content = listed(environment), cached(environment).read_bytes()

    assert first == listed(environment)
    assert [1, 2, 3] == [each.answers for each in first.values()]
    assert content == cached(environment).read_bytes()
    assert 0o600 == cached(environment).stat().st_mode & 0o777
    assert ["j0.journal", "j1.journal", "j2.journal"] == sorted(os.listdir(runs.directory(environment)))


def test_a_changed_journal_is_read_again(environment):
    """A journal that was resumed, is running or was removed is not taken from the cache; other prices change the
    cost."""
    made(environment, "one")
    made(environment, "two")
    listed(environment)

    journal = begin(environment, "one", 0)
    assert "running" == listed(environment)["one"].state
    journal.close()
    assert [("one", 2), ("two", 1)] == [(name, each.times) for name, each in listed(environment).items()]

    runs.remove(environment, runs.path_of(environment, "two"))
    assert ["one"] == list(listed(environment))
    assert 0 == listed(environment)["one"].spent["cost"]
    assert 0.5 == listed(environment, Prices(models={"acme/dusk": Price(run=0.5)}))["one"].spent["cost"]


def test_a_damaged_cache_is_rebuilt(environment):
    """A cache with invalid content is rebuilt, and one that cannot be written is ignored."""
    made(environment, "one")
    for content in (b"", b"\xc1", b"x" * 1000, msgspec.msgpack.encode(["key", {"one": 1}])):
        listed(environment)
        cached(environment).write_bytes(content)
        assert 1 == listed(environment)["one"].answers

    cached(environment).unlink()
    cached(environment).mkdir()
    assert 1 == listed(environment)["one"].answers
