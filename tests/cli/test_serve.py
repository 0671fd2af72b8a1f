"""``emulator:serve``, as other programs use it."""

import json
import signal
import subprocess
import sys
import urllib.request

import pytest


@pytest.fixture
def serve():
    started = []

    def run(*argv):
        command = [sys.executable, "-m", "kosmolua", "emulator:serve", *argv]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process, process.stdout.readline()

    yield run
    for process in started:
        process.kill()
        process.communicate()


def get(url, token="any"):
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def test_the_first_line_is_the_url(serve):
    """A program can read the URL from the first line of output."""
    _, line = serve("--json")

    url = json.loads(line)["url"]
    assert url.startswith("http://127.0.0.1:")
    assert url.endswith("/v1")
    assert "emulator" == get(f"{url}/account")["username"]


def test_a_script_runs_against_the_served_emulator(serve, kosmo):
    """A script can use the served emulator with its URL and any token."""
    _, line = serve()
    environment = {"REPLICATE_URL": json.loads(line)["url"], "REPLICATE_API_KEY": "anything"}

    ran = kosmo("lua", "-e", "return integrations.replicate.get_account().username", env=environment)

    assert (0, "emulator\n", "") == ran.seen


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_server(serve, how):
    """A signal ends the server immediately and without output."""
    process, _ = serve("--json")
    process.send_signal(how)
    _, err = process.communicate(timeout=10)

    assert "Traceback" not in err
    assert process.returncode in {0, 130}


def test_a_port_in_use(serve, kosmo):
    """The error for a port in use is one sentence."""
    _, line = serve("--json")
    port = json.loads(line)["url"].split(":")[2].split("/")[0]

    ran = kosmo("emulator:serve", "--port", port)

    assert (2, "") == (ran.status, ran.out)
    assert f"cannot listen on port {port}" in ran.err


@pytest.mark.parametrize("port", ["70000", "x", "-1", ""])
@pytest.mark.parametrize(
    "command",
    [("emulator:serve",), ("emulator:record", "--output", "x"), ("serve",), ("webhooks:serve",)],
    ids=" ".join,
)
def test_an_invalid_port(kosmo, command, port):
    """A port that is not a number up to 65535 is refused."""
    ran = kosmo(*command, f"--port={port}")

    assert (2, "") == (ran.status, ran.out)
    assert f"argument --port: expected 0 to 65535, got {port!r}" in ran.err
