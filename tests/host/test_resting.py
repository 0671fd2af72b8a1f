"""Started runs use no thread while their scripts only wait, but are still supervised."""

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
FEW = 12  # threads of a host for any number of waiting runs


def threads():
    """The threads of all hosts: for calls, for waiting, for starting runs, and for prepared processes."""
    return [each.name for each in threading.enumerate() if each.name.startswith("kosmolua")]


@pytest.fixture
def host():
    with Host(emulate=True) as made:
        yield made


def at_rest(count=1):
    """Wait until at most this many runs have a thread."""
    wait_until(lambda: len(threads()) < FEW + count)


def test_two_hundred_waiting_runs_share_a_few_threads():
    """Runs that wait for predictions without a journal share threads; canceling a task still ends its run at once."""
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
def test_waiting_runs_continue_when_their_predictions_end(tmp_path, journal):
    """The result equals that of a run with a thread, and each prediction is created once. With a journal this also
    holds for parked runs.
    """
    emulator = Emulator(clock=HurryingClock(60))

    async def main(url):
        async with AsyncHost(url=url, token="r8_rest", read="allow", write="allow", park_after=0.3) as host:
            names = [{"journal": str(tmp_path / f"{number}")} if journal else {} for number in range(20)]
            return await asyncio.gather(*(host.run(f"print('a') {WAIT}", **each) for each in names))

    with running(emulator) as url:
        found = asyncio.run(main(url))

    assert [(["succeeded"], "a\n")] * 20 == [(each.results, each.output) for each in found]
    assert 20 == len(emulator._world.predictions)


def test_sleeping_runs_have_no_thread(host):
    """A sleeping run has no thread, not even for its events, and wakes up on time."""
    began = time.monotonic()
    handles = [host.start("local began = time() sleep(2) return time() - began") for _ in range(40)]
    at_rest()
    slept = [handle.result(60).value for handle in handles]

    assert min(slept) >= 2
    assert time.monotonic() - began < 2 + scaled(8)


def test_tasks_continue_in_order(host):
    """Tasks keep their order through short and long sleeps, prints and calls."""
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


def test_a_time_limit_ends_a_waiting_run(host):
    """The run ends at its limit, although no thread waits for it."""
    began = time.monotonic()
    error = host.start("sleep(60)", limits=Limits(time=1.0)).result(60).error

    assert ("limit_reached", "time") == (error.code, error.detail["limit"])
    assert 1 <= time.monotonic() - began < 1 + scaled(2)


def test_a_script_that_computes_while_its_tasks_wait_has_a_limit(host):
    """The script still computes after all its requests are waiting, and its limit applies."""
    error = host.start("spawn(function() sleep(60) end) sleep(0.5) while true do end", limits=Limits(cpu=1.0))

    assert "limit_reached" == error.result(60).error.code


def test_a_waiting_run_is_stopped_at_once(host):
    """The script's process ends together with the run."""
    handle = host.start("sleep(60)")
    at_rest()
    began = time.monotonic()
    handle.stop("enough")
    result = handle.result(60)

    assert ("interrupted", "enough") == (result.error.code, result.error.message)
    assert time.monotonic() - began < scaled(2)


def test_the_death_of_a_waiting_process_is_reported(host):
    """The error is the same as for a run with a thread."""
    handle = host.start("sleep(60)")
    wait_until(lambda: "kosmolua-waiting" in threads())
    (pid,) = wait_until(lambda: children_of_prepared(host))
    os.kill(pid, signal.SIGKILL)

    assert "script_crashed" == handle.result(60).error.code


def children_of_prepared(host):
    """The script processes that a prepared process has forked."""
    parent = host._plan.prepared._process._pid
    with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def test_closing_a_host_ends_waiting_runs():
    """After closing, no thread remains."""
    before = threads()
    with Host(emulate=True) as host:
        handles = [host.start("sleep(60)") for _ in range(5)]
        at_rest()

    assert ["interrupted"] * 5 == [handle.result(60).error.code for handle in handles]
    wait_until(lambda: threads() == before)


def test_events_are_followed_without_threads():
    """Tasks can follow the events of any number of concurrent runs."""

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
    """Without a prepared process a run keeps its thread, since the script's process would end with it; results are
    equal.
    """
    with Host(emulate=True, prepare=False) as host:
        assert [1, 1] == [each.result(60).value for each in [host.start("sleep(0.5) return 1") for _ in range(2)]]
