"""A resumed run continues with the answers from its journal, and stops if the script diverges."""

import os
import random
import sqlite3
import threading
import time
from contextlib import closing

import msgspec
import pytest
from recording_server import Answer
from waiting import let_pass, scaled

from kosmolua.errors import ApiError, JournalError, LimitError
from kosmolua.gate.budget import Caps
from kosmolua.journal.journal import Journal
from kosmolua.journal.records import Head
from kosmolua.runtime import port
from kosmolua.runtime.limits import Limits

CREATE = "integrations.replicate.create_prediction{ version = 'v', input = { text = 'a' } }"
GET = "integrations.replicate.get_prediction{ prediction_id = 'p' }"


def test_finished_calls_are_not_repeated(server, flow, isolation):
    """A second run makes no request and has the same result, with the same random numbers, clock and key order."""
    server.default = Answer(201, b'{"id": "p1", "status": "starting"}')
    source = f"""
      local seen = {{}}
      for key in pairs{{ alpha = 1, beta = 2, gamma = 3, 10, 20, [true] = 4 }} do seen[#seen + 1] = tostring(key) end
      local p = {CREATE}
      sleep(0.001)
      return p.id, math.random(1e9), time(), os.time(), os.date(), os.clock(), table.concat(seen, " "), args[1]
    """
    first = flow(source, args=["x"], isolation=isolation)
    second = flow(source, args=["x"], isolation=isolation)

    assert first.error is None
    assert first.results == second.results
    assert "1 2 alpha beta gamma true" == first.results[6]
    assert 1 == len(server.requests)


def test_two_journals_have_different_seeds(server, flow, tmp_path):
    """Each new journal gets its own random seed."""
    first = flow("return math.random(2^50)").results
    flow.path = str(tmp_path / "other.journal")

    assert first != flow("return math.random(2^50)").results


def test_given_times_are_computed_without_the_clock(flow, isolation):
    """os.time with a table and os.date with a time are computed without entries in the journal."""
    ran = flow("return os.date('!%Y-%m-%d', 0), os.time{ year = 2001, month = 1, day = 1 } ~= nil", isolation=isolation)

    assert ["1970-01-01", True] == ran.results


def test_a_time_limit_waits_for_no_call(flow, isolation, monkeypatch):
    """A time limit ends the run even while a call is open; a resumed run obtains the result of that call."""
    monkeypatch.setattr(port, "PATIENCE", 0.1)
    over = threading.Event()

    def handler(function, account, arguments, ticket=None):
        over.wait(10)
        return {"id": "late"}

    try:
        ran = flow(f"return {GET}.id", isolation=isolation, handler=handler, limits=Limits(cpu=5.0, time=0.3))
    finally:
        over.set()

    assert "limit_reached" == ran.error.code
    assert "time limit" in ran.error.message
    assert ran.duration < scaled(5)
    quick = flow(f"return {GET}.id", isolation=isolation, handler=handler, limits=Limits(cpu=5.0, time=5.0))
    assert ["late"] == quick.results
    assert ["late"] == flow(f"return {GET}.id", isolation=isolation, handler=never).results


def test_the_order_of_answers_is_kept(flow, isolation):
    """Races and parallel tasks proceed in the recorded order, however long the calls take now."""
    dice = random.Random(7)

    def handler(function, account, arguments, ticket=None):
        let_pass(dice.uniform(0, 0.01))
        return {"id": msgspec.msgpack.decode(arguments)["prediction_id"]}

    source = """
      local get, order = integrations.replicate.get_prediction, {}
      local first = race{
        function() return get{ prediction_id = "left" }.id end,
        function() return get{ prediction_id = "right" }.id end,
        function() sleep(0.005) return "slept" end,
      }
      parallel({ 1, 2, 3, 4, 5, 6, 7, 8 }, function(n)
        for step = 1, 3 do
          table.insert(order, get{ prediction_id = n .. "." .. step }.id)
          if n % 2 == 0 then sleep(0.001 * math.random(3)) else time() end
          table.insert(order, get{ prediction_id = n .. "-" .. #order }.id)
        end
      end)
      return first, table.concat(order, " ")
    """
    first = flow(source, isolation=isolation, handler=handler)
    assert first.error is None
    for _ in range(3):
        assert first.results == flow(source, isolation=isolation, handler=never).results


def never(function, *_):
    raise AssertionError(f"{function} was asked again")


@pytest.mark.parametrize("answered", range(0, 14, 3))
def test_a_journal_cut_anywhere_can_be_resumed(flow, isolation, answered):
    """A journal that is cut after any answer gives the same result, and only missing requests are made."""
    asked = []

    def handler(function, account, arguments, ticket=None):
        asked.append(function)
        return {"id": msgspec.msgpack.decode(arguments)["prediction_id"]}

    source = """
      local get = integrations.replicate.get_prediction
      local ids = parallel({ "a", "b", "c" }, function(name)
        local id = get{ prediction_id = name }.id
        sleep(0)
        return get{ prediction_id = id .. id }.id .. get{ prediction_id = "last" }.id
      end)
      return table.concat(ids), get{ prediction_id = "end" }.id, time() > 0
    """
    first = flow(source, isolation=isolation, handler=handler).results
    journal = Journal(flow.path, Head(script="flow.lua", source=b""))
    journal.close()
    with closing(sqlite3.connect(flow.path)) as file, file:
        file.execute("DELETE FROM outcomes WHERE number > ?", (answered,))
        file.execute("DELETE FROM ends")
    before = len(asked)

    again = flow(source, isolation=isolation, handler=handler)

    assert (None, first) == (again.error, again.results)
    assert len(asked) - before < before or not answered


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (CREATE.replace("'a'", "'b'"), '"text":"b"'),
        (GET, "get_prediction"),
        (CREATE.replace("replicate.", "replicate.work."), "work"),
        ("sleep(1)", "host.sleep"),
        ("return 1", "asks for nothing more"),
    ],
    ids=["arguments", "function", "account", "sleep", "nothing"],
)
def test_a_diverging_script_is_stopped(server, flow, isolation, changed, words):
    """A diverging script is stopped before anything is sent; the error shows both calls and how to continue."""
    flow(f"{CREATE} {GET}")
    sent = len(server.requests)

    ran = flow(changed, isolation=isolation)

    assert isinstance(ran.error, JournalError)
    assert "create_prediction" in ran.error.message
    assert words in ran.error.message
    assert "--from-here" in ran.error.hint
    assert sent == len(server.requests)


def test_diverging_tasks_are_stopped(flow, isolation):
    """A recorded request that no task makes is detected even if the script only waits; nothing is sent."""
    asked = []

    def handler(function, account, arguments, ticket=None):
        asked.append(msgspec.msgpack.decode(arguments)["prediction_id"])
        return {"id": "p"}

    two = """
      local get = integrations.replicate.get_prediction
      parallel({ "a", "b" }, function(name) get{ prediction_id = name } get{ prediction_id = name .. "2" } end)
    """
    flow(two, handler=handler)
    before = len(asked)
    ran = flow(two.replace('get{ prediction_id = name .. "2" }', ""), isolation=isolation, handler=handler)
    assert isinstance(ran.error, JournalError)

    more = two.replace('name .. "2" }', 'name .. "2" } get{ prediction_id = "new" }').replace('{ "a", "b" }', '{ "a" }')
    ran = flow(more, isolation=isolation, handler=handler)
    assert isinstance(ran.error, JournalError)
    assert before == len(asked)


def test_from_here_continues_with_the_script(server, flow, isolation):
    """The journal is cut at the divergence, the spending before it still counts, and the new requests are recorded."""
    server.default = Answer(201, b'{"id": "p"}')
    changed = GET + CREATE.replace("'a'", "'b'") + " return 2"
    flow(f"{GET} {CREATE} {GET} return 1")
    ran = flow(changed, isolation=isolation, cut=True)

    assert [2] == ran.results
    assert 4 == len(server.requests)
    assert (4, 2, 2) == tuple(flow.sessions[-1].budget.spent()[name] for name in ("calls", "writes", "predictions"))
    assert [2] == flow(changed, isolation=isolation).results
    assert 4 == len(server.requests)


def test_from_here_with_tasks(flow, isolation):
    """If the journal is cut, the requests of other tasks after the divergence are made again."""

    def handler(function, account, arguments, ticket=None):
        return {"id": msgspec.msgpack.decode(arguments)["prediction_id"]}

    source = """
      local get, out = integrations.replicate.get_prediction, {}
      parallel({ "a", "b", "c" }, function(name)
        table.insert(out, get{ prediction_id = name }.id)
        table.insert(out, get{ prediction_id = name .. "2" }.id)
      end)
      table.sort(out)
      return table.concat(out)
    """
    assert ["aa2bb2cc2"] == flow(source, handler=handler).results
    changed = source.replace('"2" }', '(name == "b" and "3" or "2") }')

    assert ["aa2bb3cc2"] == flow(changed, isolation=isolation, handler=handler, cut=True).results
    assert ["aa2bb3cc2"] == flow(changed, isolation=isolation, handler=never).results


def test_a_handled_error_is_replayed(server, flow):
    """An error that the script handled is replayed, even if the call would succeed now."""
    server.answers.append(Answer(404, b'{"detail": "no"}'))
    source = f"local ok, e = pcall(function() {GET} end) time() return ok, e and e.code, e and e.status"

    assert [False, "not_found", 404] == flow(source).results
    assert [False, "not_found", 404] == flow(source).results
    assert 1 == len(server.requests)


def test_an_error_that_ended_the_run_is_retried(server, flow):
    """A call whose error ended the run is made again, for example after credit or permission was added."""
    server.default = Answer(201, b'{"id": "p1"}')
    server.answers.extend([Answer(), Answer(402, b'{"detail": "no credit"}')])
    source = f"{GET} return {CREATE}.id"

    assert 402 == flow(source).error.status
    assert "approval_required" == flow(source, write="ask").error.code
    assert ["p1"] == flow(source).results
    assert ["GET", "POST", "POST"] == [request.method for request in server.requests]


def test_a_finished_run_keeps_its_handled_error(server, flow):
    """A finished run that returns a handled error returns the same values again."""
    server.answers.append(Answer(404, b"{}"))
    source = f"return pcall(function() {GET} end)"

    assert False is flow(source).results[0]
    assert False is flow(source).results[0]
    assert 1 == len(server.requests)


def test_earlier_spending_counts(server, flow):
    """A resumed run cannot spend more than an uninterrupted one."""
    server.default = Answer(201, b'{"id": "p", "status": "starting"}')
    assert isinstance(flow(f"{CREATE} {CREATE} {CREATE}", caps=Caps(predictions=2)).error, LimitError)
    assert isinstance(flow(f"{CREATE} {CREATE} {CREATE}", caps=Caps(predictions=2)).error, LimitError)
    assert 2 == len(server.requests)

    assert flow(f"{CREATE} {CREATE} {CREATE}", caps=Caps(predictions=3)).error is None
    assert 3 == len(server.requests)


def test_a_secret_is_in_no_journal(server, flow, isolation):
    """A secret is not stored, and is requested again at its place in each run."""
    server.default = Answer(body=b'{"key": "whsec_marked"}')
    source = "return integrations.replicate.get_default_webhook_secret{}.key, time()"

    first = flow(source, isolation=isolation).results
    assert first == flow(source, isolation=isolation).results
    assert "whsec_marked" == first[0]
    assert 2 == len(server.requests)
    with open(flow.path, "rb") as file:
        assert b"marked" not in file.read()


def test_bytes_and_large_answers_are_replayed_unchanged(flow, isolation):
    """Bytes, large numbers and large answers are replayed unchanged."""
    answer = {"bytes": bytes(range(256)) * 1000, "big": 2**60, "none": None, "list": []}

    def handler(*_):
        return answer

    source = f"local p = {GET} return #p.bytes, p.bytes:byte(256), p.big, p.none == nil, #p.list"
    first = flow(source, isolation=isolation, handler=handler).results

    assert [256_000, 255, str(2**60), True, 0] == first
    assert first == flow(source, isolation=isolation, handler=never).results


def test_other_arguments_are_refused(flow):
    """Arguments that differ from those in the journal are refused."""
    flow("return 1", args=["a"])
    with pytest.raises(JournalError, match=r"the arguments \['a'\]; now they are \['b'\]"):
        flow("return 1", args=["b"])


def test_a_thousand_finished_calls_are_replayed_quickly(server, flow):
    """On an idle machine a thousand calls are replayed in half a second, including the start of the process."""
    server.default = Answer(body=b'{"id": "p", "status": "succeeded", "output": "' + b"x" * 500 + b'"}')
    source = f"local n = 0 for i = 1, 1000 do n = n + #{GET}.id end return n"
    assert [1000] == flow(source).results

    taken = []
    for _ in range(3):
        began = time.perf_counter()
        assert [1000] == flow(source).results
        taken.append(time.perf_counter() - began)
    assert min(taken) < scaled(0.5)
    assert 1000 == len(server.requests)


def test_an_answer_is_on_disk_before_the_script_continues(flow):
    """If the process dies, no answer that the script received is lost."""

    def handler(function, account, arguments, ticket=None):
        return {"id": "p"}

    pid = os.fork()
    if pid == 0:

        def dies(function, account, arguments, ticket=None):
            if len(flow.calls) == 2:
                os._exit(9)
            flow.calls.append(function)
            return {"id": "p"}

        flow(f"{GET} {GET} {GET} return 1", handler=dies)
    assert 9 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    asked = []

    def counting(*call):
        asked.append(call)
        return {"id": "p"}

    assert [1] == flow(f"{GET} {GET} {GET} return 1", handler=counting).results
    assert 1 == len(asked)


def test_an_api_error_keeps_its_fields(flow):
    """A replayed error has all fields of the original error."""
    failure = ApiError(
        "get_prediction: no", status=422, code="invalid_input", hint="look", detail="why", retry_after=2.0
    )

    def handler(*_):
        raise failure

    source = f"local _, e = pcall(function() {GET} end) time() return e.code, e.status, e.hint, e.detail, e.retry_after"
    first = flow(source, handler=handler).results

    assert ["invalid_input", 422, "look", "why", 2] == first
    assert first == flow(source, handler=never).results


def test_host_run_takes_a_journal(tmp_path):
    """`Host.run` resumes from a journal, given as a path or name, like the command line."""
    from kosmolua import Host

    notices = []
    with Host(emulate=True, on_notice=notices.append) as host:
        source = "return integrations.replicate.get_account{}.username, math.random(1e9), time()"
        first = host.run(source, journal=str(tmp_path / "x.journal"))
        second = host.run(source, journal=str(tmp_path / "x.journal"))
        named = host.run(source, journal="by-name")

    assert first.error is None
    assert first.results == second.results
    assert first.results != named.results
    assert [] == second.log
    assert 1 == len(first.log)
    (notice,) = notices
    assert notice.startswith("this run finished at ")
    assert str(tmp_path / "x.journal") in notice
    assert notice.endswith("fresh=True")
