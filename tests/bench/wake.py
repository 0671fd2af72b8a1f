"""Measures the time from the arrival of a webhook to the next line of the waiting script, which has no process until
then.

    python tests/bench/wake.py [COUNT]

COUNT runs (200 by default) are parked; then their predictions are canceled, one every quarter of a second, and the
emulator sends the webhooks. The times include the server, PostgreSQL, the worker, a new process for the script, and its
journal.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent / "worker")]

import httpx  # noqa: E402 - after the change of sys.path
from fleet import Fleet  # noqa: E402
from postgres import serving  # noqa: E402
from receiving import Receiving  # noqa: E402
from waiting import let_pass, wait_until  # noqa: E402

from kosmolua.worker import runs  # noqa: E402

SCRIPT = """
local r = integrations.replicate
local p = r.create("minimax/video-01", { prompt = args[1] })
r.wait(p)
return p.id, time()
"""
BETWEEN = 0.25  # seconds
SPEED = 0.001  # of the emulator's clock, so slow that no prediction ends by itself


class Arrivals:
    """Wraps an ASGI application, and records when each request arrived."""

    def __init__(self, app):
        self._app = app
        self.times = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            self.times.append(time.time())
        await self._app(scope, receive, send)


def measure(fleet, receiving, count):
    """Returns the milliseconds of each wake, and the number of runs that a poll had woken before the webhook."""
    receiving.app.times.clear()
    fleet.submit(count, SCRIPT)
    wait_until(lambda: fleet.states()["waiting"] == count, 300, 0.2)
    arrived = {}
    for (job,) in fleet.database.rows("SELECT job FROM waits ORDER BY number"):
        seen = len(receiving.app.times)
        httpx.post(f"{fleet.api}/predictions/{job}/cancel", headers={"authorization": "Bearer r8_fleet"})
        wait_until(lambda seen=seen: len(receiving.app.times) > seen, 10)
        arrived[job] = receiving.app.times[seen]
        let_pass(BETWEEN)
    wait_until(lambda: fleet.states()["done"] == count, 60, 0.2)
    found = [(at - arrived[job]) * 1000 for job, at in (one.results[:2] for one in runs.listed(fleet.database))]
    return sorted(each for each in found if each > 0), sum(each <= 0 for each in found)


def main(count):
    with serving() as server, tempfile.TemporaryDirectory() as directory:
        with Fleet(server.url, directory, speed=SPEED).serving() as fleet:
            receiving = Receiving(fleet.database, fleet.emulator)
            receiving.app = Arrivals(receiving.app)
            with receiving.serving():
                fleet.start(webhooks=receiving.url, park_after=0.2, slots=8)
                times, before = measure(fleet, receiving, count)
    print(f"{len(times)} wakes: median {statistics.median(times):.0f} ms, p95 {times[int(len(times) * 0.95)]:.0f} ms, ")
    print(f"slowest {times[-1]:.0f} ms; {before} runs were woken by a poll before")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 200)
