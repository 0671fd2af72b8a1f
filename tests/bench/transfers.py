"""Compares a download and an upload with curl: CPU time of all processes, and the largest amount of memory held by any
one of them.

python tests/bench/transfers.py [--rounds N]
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
KOSMO = [sys.executable, "-m", "kosmolua", "lua", "--write", "allow", "--allow-write", ".", "--allow-read", "."]
DOWN, UP = 500 * 10**6, 99 * 10**6  # bytes
DOWNLOAD = "download(args[1], 'down.bin', { overwrite = true })"
UPLOAD = "return integrations.replicate.create_file{ content = file('up.bin'), filename = 'up.bin' }.size"


def measure(command, environment, directory):
    """CPU seconds used by a process and its children, and the largest amount of memory held by any one of them, in
    MB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        command, env=environment, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (command, process.returncode)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, usage.ru_maxrss / 1000


def compare(name, ours, theirs, rounds, environment, directory):
    pairs = [(measure(ours, environment, directory), measure(theirs, environment, directory)) for _ in range(rounds)]
    sides = [[median(each) for each in zip(*side, strict=True)] for side in zip(*pairs, strict=True)]
    (cpu, memory), (curl_cpu, curl_memory) = sides
    print(f"{name}: {cpu * 1000:.0f} ms CPU, {memory:.0f} MB; curl {curl_cpu * 1000:.0f} ms, {curl_memory:.0f} MB; "
          f"ratios {cpu / curl_cpu:.2f} and {memory / curl_memory:.2f}")  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    server = subprocess.Popen([sys.executable, HERE / "file_server.py"], stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().strip()
        origin = url.removesuffix("/v1")
        with tempfile.TemporaryDirectory() as directory:
            Path(directory, "up.bin").write_bytes(bytes(UP))
            environment = {**os.environ, "REPLICATE_URL": url, "REPLICATE_API_KEY": "x",
                           "KOSMO_STATE_DIR": f"{directory}/state"}  # fmt: skip
            compare("download of 500 MB", [*KOSMO, "--eval", DOWNLOAD, "--", f"{origin}/files/{DOWN}"],
                    ["curl", "-s", "-o", "curl.bin", f"{origin}/files/{DOWN}"],
                    rounds, environment, directory)  # fmt: skip
            compare("upload of 99 MB", [*KOSMO, "--eval", UPLOAD],
                    ["curl", "-s", "-o", "curl.json", "-F", "content=@up.bin", f"{url}/files"],
                    rounds, environment, directory)  # fmt: skip
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


if __name__ == "__main__":
    main()
