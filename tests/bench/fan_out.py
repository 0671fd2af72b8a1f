"""Measures many predictions at once: wall time compared with the ideal, memory of the host and the child process,
polls, and CPU time per poll compared with a bare httpx GET.

    python tests/bench/fan_out.py [--many N]
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
SIDE_BY_SIDE = """
local numbers = {}
for i = 1, 200 do numbers[i] = i end
parallel(numbers, function() return (run(("a"):rep(64), {}, { validate = false })) end, { limit = 64 })
"""
MANY = """
local numbers = {}
for i = 1, tonumber(args[1]) do numbers[i] = i end
parallel(numbers, function() return (run(("a"):rep(64), {}, { validate = false })) end, { limit = #numbers })
"""
BARE = """
import sys, httpx, msgspec
with httpx.Client(headers={"Authorization": "Bearer x"}) as client:
    for _ in range(int(sys.argv[2])):
        msgspec.json.decode(client.get(sys.argv[1] + "/predictions/p0").content)
"""


@contextmanager
def serving(seconds):
    server = subprocess.Popen(
        [sys.executable, HERE / "busy_server.py", str(seconds)], stdout=subprocess.PIPE, text=True
    )
    try:
        yield server.stdout.readline().strip()
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def measure(command, url):
    """Wall and CPU seconds of a process and its children, and the largest amount of memory that they held together, in
    MB."""
    environment = {**os.environ, "REPLICATE_URL": url, "REPLICATE_API_KEY": "x"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    most = 0
    while process.poll() is None:
        most = max(most, held(process.pid))
        time.sleep(0.1)
    assert process.returncode == 0, process.returncode
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, cpu, most / 1e6


def held(pid):
    """Bytes of resident memory held by a process and its children."""
    found = subprocess.run(
        ["ps", "-o", "rss=", "--pid", str(pid), "--ppid", str(pid)], check=False, capture_output=True, text=True
    )
    return 1024 * sum(map(int, found.stdout.split()))


def bare_gets(url):
    """CPU seconds of one GET with httpx and nothing else, measured three times, including the start of the process."""
    count = 3000
    post = urllib.request.Request(f"{url}/predictions", data=b"{}")
    urllib.request.urlopen(post).close()
    return [measure([sys.executable, "-c", BARE, url, str(count)], url)[1] / count for _ in range(3)]


def stats(url):
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats") as answer:
        return json.load(answer)


def kosmo(source, *args):
    return [sys.executable, "-m", "kosmolua", "lua", "--write", "allow", "--cpu-limit", "600", "--eval", source,
            "--", *args]  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--many", type=int, default=10_000)
    many = parser.parse_args().many
    with serving(1) as url:
        wall, _, _ = measure(kosmo(SIDE_BY_SIDE), url)
    ideal = math.ceil(200 / 64)  # in seconds: three full batches, and one of the last eight
    print(f"200 of one second, 64 at once: {wall:.2f} s, ideal {ideal:.2f} s, ratio {wall / ideal:.2f}, at most 1.15")
    with serving(60) as url, serving(0) as other:
        before = bare_gets(other)
        wall, cpu, memory = measure(kosmo(MANY, str(many)), url)
        told = stats(url)
        bare = median(before + bare_gets(other))
    requests = told["polls"] + told["creates"]
    print(f"{many} at once: {wall:.1f} s, {memory:.0f} MB in host and child, {told['polls'] / many:.1f} polls each, "
          f"at most {told['crowded']} in 5 s at the end")  # fmt: skip
    print(f"CPU per request: {cpu / requests * 1e6:.0f} us, bare httpx {bare * 1e6:.0f} us, "
          f"ratio {cpu / requests / bare:.2f}, at most 0.45")  # fmt: skip


if __name__ == "__main__":
    main()
