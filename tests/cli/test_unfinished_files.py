"""An interrupted download leaves no files, however the run ends."""

import json
import os
import signal
import subprocess
import sys

import pytest
from recording_server import Answer
from surroundings import clean_environment
from waiting import wait_until

STALLED = Answer(200, b"x" * 1000, {"Content-Length": "100000", "Content-Type": "text/plain"})


@pytest.fixture
def stalled(server, tmp_path):
    """The URL of a file that never arrives completely, and a directory to save it in."""
    server.default = STALLED
    (tmp_path / "out").mkdir()
    return f"{server.url.removesuffix('/v1')}/out/file"


def script_of(url, *, several):
    one = f"download('{url}', 'out/a')"
    return f"parallel({{ 1, 2, 3 }}, function(i) download('{url}', 'out/' .. i) end)" if several else one


@pytest.mark.parametrize("several", [False, True])
def test_a_time_limit(live, stalled, tmp_path, several):
    """If the time limit ends a download, the limit is reported and the directory is unchanged."""
    ran = live("lua", "-e", script_of(stalled, several=several), "--allow-write", "out", "--time-limit", "0.5")

    assert (5, True) == (ran.status, "its wall time limit of 0.5 s" in ran.err or "time limit" in ran.err)
    assert [] == os.listdir(tmp_path / "out")


def test_a_cpu_limit(live, stalled, tmp_path):
    """If the CPU limit ends a script during a download, the directory is unchanged."""
    busy = f"parallel({{ 1, 2 }}, function(i) if i == 1 then download('{stalled}', 'out/a') end while true do end end)"
    ran = live("lua", "-e", busy, "--allow-write", "out", "--cpu-limit", "0.2")

    assert (5, True) == (ran.status, "CPU time limit" in ran.err)
    assert [] == os.listdir(tmp_path / "out")


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)]
)
def test_a_signal(server, stalled, tmp_path, number, status):
    """Ctrl-C and other signals, including SIGKILL, leave no files."""
    environment = {**clean_environment(tmp_path), "REPLICATE_URL": server.url, "REPLICATE_API_KEY": "r8_marked"}
    command = ["lua", "--json", "-e", script_of(stalled, several=True), "--allow-write", "out"]
    with subprocess.Popen([sys.executable, "-m", "kosmolua", *command], cwd=tmp_path, env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:  # fmt: skip
        wait_until(lambda: len(server.requests) >= 3)
        process.send_signal(number)
        told, _ = process.communicate(timeout=30)

    assert status == process.returncode
    assert status < 0 or "interrupted" == json.loads(told)["code"]
    assert 3 == len(server.requests)
    assert [] == os.listdir(tmp_path / "out")
