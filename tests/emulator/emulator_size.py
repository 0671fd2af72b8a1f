"""Measure an emulator's cost: memory when idle and with 200 predictions at once, one list page, and public models.

``python tests/emulator/emulator_size.py [MODELS]`` prints the figures of docs/emulator.md. MODELS is the models.json of
the npm package all-the-public-replicate-models. The tests check smaller cases against the limits.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx

from kosmolua.emulator import Emulator, ManualClock

HEADERS = {"Authorization": "Bearer any"}
HELLO = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
FLUX = "/models/black-forest-labs/flux-schnell/predictions"
CROWD = 200
LOAD = """
import sys, time
from kosmolua.emulator import Emulator

def held():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) / 1024

before, began = held(), time.process_time()
emulator = Emulator(models=sys.argv[1])
print(time.process_time() - began, held() - before)
"""


class Served:
    """An emulator in its own process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._pid = process.pid
        self.url = json.loads(process.stdout.readline())["url"]

    def memory(self, name: str = "VmRSS") -> float:
        """The MiB that the emulator holds now, or the peak (VmHWM)."""
        lines = Path(f"/proc/{self._pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


@contextmanager
def serving(*flags: str) -> Iterator[Served]:
    command = [sys.executable, "-m", "kosmolua", "emulator:serve", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            served = Served(process)
            httpx.get(f"{served.url}/account", headers=HEADERS)
            yield served
        finally:
            process.terminate()


def crowd(url: str, side: int, count: int = CROWD) -> None:
    """Run this many programs at once; each creates a picture and fetches it."""

    def one(number: int) -> None:
        given = {"prompt": f"dusk {number}", "width": side, "height": side}
        with httpx.Client(base_url=url, headers=HEADERS, timeout=300) as api:
            job = api.post(FLUX, json={"input": given}, headers={"Prefer": "wait=60"}).json()
            while job["status"] in {"starting", "processing"}:
                time.sleep(0.5)
                job = api.get(job["urls"]["get"]).json()
            assert api.get(job["output"][0]).status_code == 200, job

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(one, range(count)))


def page_cost(count: int) -> float:
    """The milliseconds of CPU time for the first page of this many predictions: the best of 20."""
    transport = httpx.WSGITransport(app=Emulator(clock=ManualClock(), seed=1))
    with httpx.Client(transport=transport, base_url="http://emulator.localhost/v1", headers=HEADERS) as api:
        for _ in range(count):
            api.post("/predictions", json={"version": HELLO, "input": {"text": "Ada"}})
        best = 1.0
        for _ in range(20):
            began = time.process_time()
            api.get("/predictions")
            best = min(best, time.process_time() - began)
    return best * 1000


def load(models: str | Path) -> tuple[float, float]:
    """The seconds of CPU time and MiB for an emulator with the public models, before any model is requested."""
    done = subprocess.run([sys.executable, "-c", LOAD, models], capture_output=True, text=True, check=True)
    seconds, size = done.stdout.split()
    return float(seconds), float(size)


def main(models: list[str]) -> None:
    with serving() as served:
        print(f"idle: {served.memory():.0f} MiB")
        crowd(served.url, 512)
        print(f"{CROWD} predictions of 512 by 512 pixels: at most {served.memory('VmHWM'):.0f} MiB")
    for path in models:
        print("public models: {:.2f} s of CPU time, {:.0f} MiB".format(*load(path)))
        with serving("--models", path) as served:
            print(f"idle with public models: {served.memory():.0f} MiB")
            httpx.get(f"{served.url}/models", headers=HEADERS, timeout=60)
            print(f"after a list of them: {served.memory():.0f} MiB")
    for count in (100, 100_000):
        print(f"a page among {count} predictions: {page_cost(count):.2f} ms")


if __name__ == "__main__":
    main(sys.argv[1:])
