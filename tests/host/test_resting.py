"""Started runs have no thread while their scripts only wait, and are watched all the same."""

import asyncio
import os
import signal
import threading
import time

import pytest
from flows import HurryingClock
from waiting import scaled, wait_until

from kosmolua import AsyncHost, Host, Limits
from kosmolua.emulator import Emulator, running

WAIT = "return integrations.replicate.wait(integrations.replicate.create('minimax/video-01', { prompt = 'x' })).status"
FEW = 12  # threads of a host, whatever the number of runs that wait


def threads():
    """The threads of hosts: for calls, for waiting, for starting runs, of prepared processes."""
    return [each.name for each in threading.enumerate() if each.name.startswith("kosmolua")]


@pytest.fixture
def host():
    with Host(emulate=True) as made:
        yield made


def at_rest(count=1):
    """Wait until so many runs at most have a thread."""
    wait_until(lambda: len(threads()) < FEW + count)


def test_two_hundred_runs_that_wait_share_a_few_threads():
    """For predictions, without a journal; canceling a task still ends its run at once."""
    emulator = Emulator()

    async def main(url):
        async with AsyncHost(url=url, token="r8_rest", read="allow", write="allow") as host:
            tasks = [asyncio.create_task(host.run(WAIT)) for _ in range(200)]
            await asyncio.to_thread(
                wait_until, lambda: len(emulator._world.predictions) == 200 and len(threads()) <= FEW, 240
            )
            seen, made = len(threads()), len(emulator._world.predictions)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            return seen, made, {type(each) for each in ended}

    before = threads()
    with running(emulator) as url:
        seen, made, ended = asyncio.run(main(url))

    assert (200, {asyncio.CancelledError}) == (made, ended)
    assert seen <= FEW + len(before)
    wait_until(lambda: threads() == before)


@pytest.mark.parametrize("journal", [False, True])
def test_they_continue_when_their_predictions_end(tmp_path, journal):
    """With the result of a run that has a thread; each prediction is created once. With a journal also while parked."""
    emulator = Emulator(clock=HurryingClock(60))

    async def main(url):
        async with AsyncHost(url=url, token="r8_rest", read="allow", write="allow", park_after=0.3) as host:
            names = [{"journal": str(tmp_path / f"{number}")} if journal else {} for number in range(20)]
            return await asyncio.gather(*(host.run(f"print('a') {WAIT}", **each) for each in names))

    with running(emulator) as url:
        found = asyncio.run(main(url))

    assert [(["succeeded"], "a\n")] * 20 == [(each.results, each.output) for each in found]
    assert 20 == len(emulator._world.predictions)


def test_runs_that_sleep_have_no_thread(host):
    """Nor a thread for their events; each wakes at its time."""
    began = time.monotonic()
    handles = [host.start("local began = time() sleep(2) return time() - began") for _ in range(40)]
    at_rest()
    slept = [handle.result(60).value for handle in handles]

    assert min(slept) >= 2
    assert time.monotonic() - began < 2 + scaled(8)


def test_tasks_go_on_in_order(host):
    """Sleeps of many tasks, prints and calls between them, short and long ones."""
    source = """
      local order = {}
      parallel({ 0.6, 0.3, 0.9, 0.02, 0 }, function(seconds)
        sleep(seconds)
        integrations.replicate.get_account{}
        order[#order + 1] = seconds
        print(seconds)
      end)
      return table.concat(order, " ")
    """
    result = host.start(source).result(60)

    assert "0 0.02 0.3 0.6 0.9" == result.value
    assert "0\n0.02\n0.3\n0.6\n0.9\n" == result.output


def test_a_time_limit_ends_a_run_that_rests(host):
    """At its moment, although no thread waits for it."""
    began = time.monotonic()
    error = host.start("sleep(60)", limits=Limits(time=1.0)).result(60).error

    assert ("limit_reached", "time") == (error.code, error.detail["limit"])
    assert 1 <= time.monotonic() - began < 1 + scaled(2)


def test_a_script_that_computes_while_its_tasks_wait_is_held_to_its_limit(host):
    """Its process has the turn, although all it asked for waits."""
    error = host.start("spawn(function() sleep(60) end) sleep(0.5) while true do end", limits=Limits(cpu=1.0))

    assert "limit_reached" == error.result(60).error.code


def test_a_run_that_rests_is_stopped_at_once(host):
    """Its process ends with it."""
    handle = host.start("sleep(60)")
    at_rest()
    began = time.monotonic()
    handle.stop("enough")
    result = handle.result(60)

    assert ("interrupted", "enough") == (result.error.code, result.error.message)
    assert time.monotonic() - began < scaled(2)


def test_a_process_that_dies_meanwhile_is_told(host):
    """As if a thread had waited for it."""
    handle = host.start("sleep(60)")
    wait_until(lambda: "kosmolua-waiting" in threads())
    (pid,) = wait_until(lambda: children_of_prepared(host))
    os.kill(pid, signal.SIGKILL)

    assert "script_crashed" == handle.result(60).error.code


def children_of_prepared(host):
    """The processes of scripts, which a prepared process has forked."""
    parent = host._plan.prepared._process._pid
    with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def test_closing_a_host_ends_runs_that_rest():
    """No thread remains."""
    before = threads()
    with Host(emulate=True) as host:
        handles = [host.start("sleep(60)") for _ in range(5)]
        at_rest()

    assert ["interrupted"] * 5 == [handle.result(60).error.code for handle in handles]
    wait_until(lambda: threads() == before)


def test_events_are_followed_without_threads():
    """Of any number of runs at once, by tasks."""

    async def main():
        async with AsyncHost(emulate=True) as host:
            handles = [await host.start("print('a') sleep(1.5) print('b')") for _ in range(15)]
            following = [asyncio.create_task(kinds(handle)) for handle in handles]
            await asyncio.to_thread(wait_until, lambda: len(threads()) <= FEW)
            states = {handle.state for handle in handles}
            return states, await asyncio.gather(*following)

    async def kinds(handle):
        return [event.kind async for event in handle.events()]

    states, found = asyncio.run(main())

    assert "running" in states
    assert [["begun", "output", "output", "ended"]] * 15 == found


def test_a_host_without_a_prepared_process_keeps_the_threads():
    """A script's process would end with the thread that started it; the results are the same."""
    with Host(emulate=True, prepare=False) as host:
        assert [1, 1] == [each.result(60).value for each in [host.start("sleep(0.5) return 1") for _ in range(2)]]
