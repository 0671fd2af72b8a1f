"""In runs with a journal a wait is a single request and needs no process."""

import sqlite3
import threading
import time
from collections import Counter

import pytest
from flows import HurryingClock
from waiting import scaled, wait_until

from kosmolua import Host
from kosmolua.emulator import Emulator, running

SLOW = "integrations.replicate.create('minimax/video-01', { prompt = 'x' })"
WAIT = f"print('begun') local p = integrations.replicate.wait({SLOW}) print('over') return p.status"


class Place:
    def __init__(self, emulator, url, path):
        self.emulator = emulator
        self.url = url
        self.path = str(path)
        self.calls = Counter()
        self._lock = threading.Lock()

    def note(self, entry):
        with self._lock:
            self.calls[entry.function] += 1

    def host(self, **options):
        given = {"read": "allow", "write": "allow", "park_after": 0.2, **options}
        return Host(url=self.url, token="r8_park", on_call=self.note, **given)

    def run(self, source, **options):
        with self.host(**options) as host:
            return host.run(source, journal=self.path)

    def rows(self):
        with sqlite3.connect(self.path) as file:
            return [name for (name,) in file.execute("SELECT function FROM outcomes ORDER BY number")]

    @property
    def made(self):
        return len(self.emulator._world.predictions)


def watched(others):
    """Whether a script's process has a watchdog, not counting those of other threads."""
    return "kosmolua-watchdog" in {each.name for each in {*threading.enumerate()} - others}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("KOSMO_STATE_DIR", str(tmp_path / "state"))
    emulator = Emulator(clock=HurryingClock(60))
    with running(emulator) as url:
        yield Place(emulator, url, tmp_path / "run.journal")


def test_a_wait_is_one_request(place):
    """The host polls, and its polls are not in the journal. Output is printed once."""
    result = place.run(WAIT)

    assert (["succeeded"], "begun\nover\n", None) == (result.results, result.output, result.error)
    assert ["host.plan", "host.time", "create_model_prediction", "host.await"] == place.rows()
    assert 1 == place.made


def test_a_finished_wait_is_replayed(place):
    """A second run sends nothing and has the same result."""
    place.run(WAIT)
    place.calls.clear()

    assert ["succeeded"] == place.run(WAIT).results
    assert not place.calls


def test_a_parked_run_has_no_process(place):
    """While the run only waits, it has neither a child process nor a watchdog."""
    seen, others = [], set(threading.enumerate())
    with place.host(prepare=False) as host:
        thread = threading.Thread(target=lambda: seen.append(host.run(WAIT, journal=place.path)))
        thread.start()
        wait_until(lambda: place.made)
        wait_until(lambda: not watched(others))
        assert not seen
        thread.join()

    assert ["succeeded"] == seen[0].results


def test_without_parking_the_process_is_kept(place):
    """With park_after=None the process remains, and the result is the same."""
    assert ["succeeded"] == place.run(WAIT, park_after=None).results


def test_a_parked_run_can_be_stopped(place):
    """The run ends at once, and a later run with its journal continues with the same prediction."""
    others = {*threading.enumerate()}

    def close(host):
        wait_until(lambda: place.made)
        wait_until(lambda: not watched(others))
        host.close()

    with place.host(prepare=False) as host:
        threading.Thread(target=close, args=(host,)).start()
        stopped = host.run(WAIT, journal=place.path)

    assert "interrupted" == stopped.error.code
    assert ["succeeded"] == place.run(WAIT).results
    assert 1 == place.made


def test_a_sleep_continues_while_the_run_is_parked(place):
    """Waking the run does not restart its sleeps."""
    source = f"""
      local r = integrations.replicate
      local slept, status = unpack(parallel({{ 1, 2 }}, function(i)
        if i == 1 then sleep(2) return "slept" end
        return r.wait({SLOW}).status
      end))
      return slept, status
    """
    began = time.monotonic()

    assert ["slept", "succeeded"] == place.run(source).results
    assert 2 <= time.monotonic() - began < 2 + scaled(1.5)


def test_a_timeout_ends_a_parked_wait(place):
    """A parked wait that times out has the same error as a polled wait."""
    result = place.run(WAIT.replace(f"wait({SLOW}", f"wait({SLOW}, {{ timeout = 0.7 }}"))

    assert "timed_out" == result.error.code
    assert "host.await" in place.rows()


def test_many_waits_share_the_reads(place):
    """Twenty waits are read through list pages, and then once each."""
    source = f"""
      local function wait() return integrations.replicate.wait({SLOW}).status end
      return #parallel({{ {"1, " * 20} }}, wait, {{ limit = 20 }})
    """
    result = place.run(source)

    assert [20] == result.results
    assert place.calls["list_predictions"] > 0
    assert place.calls["get_prediction"] < 20 + 12  # the first few are read one at a time


def test_a_training_is_found_by_its_id(place):
    """An id that is not a prediction is looked up among the trainings."""
    source = """
      local r = integrations.replicate
      local training = r.create_training {
        model_owner = "stability-ai", model_name = "sdxl",
        version_id = "da77bc59ee60423279fd632efb4795ab731d9e3ca9705ef3341091fb989b7eaf",
        destination = "emulator/my-sdxl", input = { input_images = "data:application/zip;base64,UEsFBg==" },
      }
      return r.wait(training.id).status
    """

    assert ["succeeded"] == place.run(source).results


def test_polls_of_an_earlier_version_are_replayed(place):
    """A journal without the wait mark has polls, and its run continues with polls."""
    place.run("return 1")
    with sqlite3.connect(place.path) as file:
        file.execute("DELETE FROM facts WHERE name = 'awaits'")
    first = place.run(WAIT)
    place.calls.clear()

    assert ["succeeded"] == first.results
    assert place.rows().count("get_prediction") > 1
    assert "host.await" not in place.rows()
    assert ["succeeded"] == place.run(WAIT).results
    assert not place.calls


def test_a_wait_that_the_policy_refuses(place):
    """The host polls only what the script may read; otherwise the script gets the refusal at once."""
    result = place.run("return integrations.replicate.wait({ id = 'x', status = 'starting' }).status", read="deny")

    assert "permission_denied" == result.error.code
    assert ["get_prediction"] == list(place.calls)


def test_a_wait_for_an_unknown_prediction(place):
    """A wait for an unknown prediction ends with the API's answer, like a poll."""
    result = place.run("return integrations.replicate.wait({ id = 'x', status = 'starting' }).status")

    assert 404 == result.error.status


def test_an_expensive_run_keeps_its_process(place):
    """A parked run is computed again later, outside of its CPU limit, so an expensive run is not parked."""
    source = "local n = 0 for i = 1, 8e8 do n = n + i % 7 end sleep(1) return 1"
    usual, parking = place.run(source, park_after=None), place.run(source.replace("return 1", "return 2"))

    assert [[1], [2]] == [usual.results, parking.results]
    assert parking.cpu < 1.5 * usual.cpu
