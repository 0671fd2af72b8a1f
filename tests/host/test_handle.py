"""Started runs have their own options and events."""

import json
import logging
import threading
import time

import pytest

from kosmolua import Caps, Host, JournalError, Limits, OptionError, UsageError

CALL = "return integrations.replicate.get_account{}.username"


@pytest.fixture
def host():
    with Host(emulate=True) as made:
        yield made


def test_a_started_run_has_id_state_and_result(host):
    """A run has these during and after its execution; its id is the same as in the audit log."""
    handle = host.start(CALL)
    result = handle.result(60)

    assert ("succeeded", "emulator", handle.id) == (handle.state, result.value, result.run)
    assert "failed" == ended(host.start("error('no')")).state
    assert handle.id in repr(handle)


def ended(handle):
    handle.result(60)
    return handle


def test_a_long_run_can_be_waited_for_and_stopped(host):
    """A timeout leaves the run running; a stop ends the run."""
    handle = host.start("while true do end")
    with pytest.raises(TimeoutError, match=f"{handle.id} has not ended within 0.05 s"):
        handle.result(0.05)
    assert "running" == handle.state
    handle.stop("enough")

    assert ("interrupted", "stopped") == (handle.result(60).error.code, handle.state)


def test_events_carry_the_run_and_its_tags(host):
    """All events have the run and its tags, for readers and for the callbacks of host and run."""
    told = []
    handle = host.start(f"print('é') {CALL}", tags={"job": "7"}, on_event=told.append)
    events = [*handle.events()]

    assert ["begun", "output", "call", "ended"] == [event.kind for event in events]
    assert {(handle.id, "7")} == {(event.run, event.tags["job"]) for event in events}
    assert ("stdout", "é\n") == (events[1].stream, events[1].text)
    assert ("get_account", handle.id) == (events[2].entry.function, events[2].entry.run)
    assert "emulator" == events[3].result.value
    assert events == told == [*handle.events()]


def test_events_of_concurrent_runs_have_their_ids():
    """The callbacks of a host get the events of all runs, each with the id of its run."""
    told, lock = [], threading.Lock()

    def note(event):
        with lock:
            told.append((event.run, event.kind))

    called = []
    with Host(emulate=True, on_event=note, on_call=lambda entry: called.append(entry.run)) as host:
        handles = [host.start(CALL) for _ in range(3)]
        for handle in handles:
            handle.result(60)
        host.call("get_account")

    for handle in handles:
        assert ["begun", "call", "ended"] == [kind for run, kind in told if run == handle.id]
        assert handle.id in called
    assert 1 == len({run for run, kind in told if kind == "call"} - {handle.id for handle in handles})


def test_a_listener_that_raises_ends_nothing():
    """The exception of a listener becomes a notice."""
    notices = []

    def fail(_event):
        raise ValueError("no")

    with Host(emulate=True, on_notice=notices.append) as host:
        assert "emulator" == host.run(CALL, on_event=fail).value

    assert any("on_event raised ValueError: no" in notice for notice in notices)


def test_a_run_can_override_limits_caps_account_and_prompter():
    """The options of a run override those of its host."""
    with Host(emulate=True, caps=Caps(calls=9), limits=Limits(cpu=60.0)) as host:
        calls = "for _ = 1, 3 do integrations.replicate.get_account{} end"
        assert host.run(calls).error is None
        assert "limit_reached" == host.run(calls, caps=Caps(calls=2)).error.code
        assert "limit_reached" == host.run("while true do end", limits=Limits(cpu=0.3)).error.code
        assert "work" == host.run(calls, account="work").log[0].account


@pytest.mark.parametrize(
    "options", [{"limits": 3}, {"caps": {}}, {"tags": {"a": 1}}, {"tags": "x"}, {"account": ""}, {"on_event": 3}]
)
def test_options_of_a_run_are_checked(host, options):
    """The options of a run are checked when the run is created."""
    with pytest.raises(OptionError):
        host.run("return 1", **options)


def test_arguments_may_have_names(host):
    """Named arguments can be any plain data and are in the script's `args`."""
    given = {"prompt": "a fox", "sizes": [1, 2.5], "deep": {"yes": True, "none": None}}
    source = "return args.prompt, args.sizes[2], args.deep.yes, args.deep.none, #{...}"

    assert ["a fox", 2.5, True, None, 0] == host.run(source, given).results
    with pytest.raises(UsageError, match="expected plain data"):
        host.run("return 1", {"a": object()})


@pytest.mark.parametrize("value", [1 << 70, "\ud800", {"deep": object()}, [float], {"s": {1 << 64}}])
def test_unsupported_arguments_are_refused(host, value):
    """The error gives a reason before the run begins, also with a journal."""
    with pytest.raises(UsageError, match="expected plain data"):
        host.run("return 1", {"a": value})
    with pytest.raises(UsageError, match="expected plain data"):
        host.run("return 1", {"a": value}, journal="unusable")


def test_a_resumed_run_needs_the_same_named_arguments(host, tmp_path):
    """The order of the names does not matter; arguments with other values belong to another run."""
    given = {"prompt": "a fox", "sizes": [1, 2.5], "raw": b"\x00\xff", "deep": {"a": True, "b": 1}}
    path = str(tmp_path / "named.journal")
    source = """
      local names = {}
      for name, value in pairs(args.deep) do names[#names + 1] = name .. tostring(value) end
      return args.prompt, args.sizes[2], #args.raw, table.concat(names), time(), #{...}
    """
    first = host.run(source, given, journal=path).results
    again = host.run(source, dict(reversed(given.items())), journal=path).results

    assert first == again
    assert ["a fox", 2.5, 2, 0] == [*first[:3], first[5]]
    for other in ({**given, "prompt": "a cat"}, {**given, "sizes": [1, 2]}, {}, ["a fox"]):
        with pytest.raises(JournalError, match="belongs to a run with the arguments"):
            host.run(source, other, journal=path)


def test_a_result_is_plain_data(host):
    """The result of a run, including the fields of its error, is plain data."""
    good = host.run(f"print('x') {CALL}").to_dict()
    bad = host.run("error('no')").to_dict()

    assert (True, None, "x\n") == (good["success"], good["error"], good["output"])
    assert "get_account" == good["log"][0]["function"]
    assert (False, "script_error", "no") == (bad["success"], bad["error"]["code"], bad["error"]["message"])
    assert json.loads(json.dumps(good)) == good


def test_each_call_is_a_log_record(host, caplog):
    """Each record has the fields of the call, for handlers of the logger."""
    with caplog.at_level(logging.INFO, logger="kosmolua.calls"):
        handle = ended(host.start(CALL, tags={"job": "7"}))

    (record,) = [each for each in caplog.records if each.name == "kosmolua.calls"]
    assert "get_account ok" == record.getMessage()
    assert (handle.id, "read", "allow", {"job": "7"}) == tuple(
        record.kosmolua[name] for name in ("run", "access", "decision", "tags")
    )


def test_a_journal_is_opened_at_the_start_and_closed_at_the_end(host, tmp_path):
    """Errors from opening the journal are raised by `start`."""
    path = str(tmp_path / "j")
    first = host.start("sleep(0.2) " + CALL, journal=path)
    with pytest.raises(Exception, match="journal"):
        host.start(CALL, journal=path)
    first.result(60)

    assert "emulator" == host.start("sleep(0.2) " + CALL, journal=path).result(60).value


def test_closing_the_host_stops_started_runs():
    """Closing the host leaves no thread or process running."""
    host = Host(emulate=True)
    handles = [host.start("while true do end") for _ in range(2)]
    began = time.monotonic()
    host.close()

    assert ["stopped", "stopped"] == [ended(handle).state for handle in handles]
    assert time.monotonic() - began < 10
