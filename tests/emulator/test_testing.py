from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import httpx
import pytest

from kosmolua import Host
from kosmolua.errors import UsageError
from kosmolua.testing import TOKEN, emulating

VIDEO = "/models/minimax/video-01/predictions"


@pytest.fixture
def api(replicate_emulator):
    headers = {"Authorization": f"Bearer {os.environ['REPLICATE_API_TOKEN']}"}
    with httpx.Client(base_url=os.environ["REPLICATE_URL"], headers=headers) as client:
        yield client


def test_programs_find_the_emulator(replicate_emulator):
    """The environment points Replicate's clients and child processes to the emulator."""
    source = "return (replicate.run('meta/meta-llama-3-8b-instruct', { prompt = 'rain', max_tokens = 4 }))"
    command = [sys.executable, "-m", "kosmolua", "lua", "--write", "allow", "-e", source]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    with Host(read="allow") as host:
        listed = host.call("list_predictions")["results"]

    assert [ran.stdout.strip()] == ["".join(job["output"]).strip() for job in listed]
    assert replicate_emulator.url == os.environ["REPLICATE_BASE_URL"] + "/v1"
    assert replicate_emulator.token == os.environ["REPLICATE_API_TOKEN"] == TOKEN


def test_the_test_controls_time(replicate_emulator, api):
    """A slow prediction ends at once when time is advanced, and its files expire an hour later."""
    job = api.post(VIDEO, json={"input": {"prompt": "x"}}).json()
    replicate_emulator.advance(100)
    done = api.get(job["urls"]["get"]).json()
    kept = api.get(done["output"]).status_code
    replicate_emulator.advance(3600)

    assert ("starting", "succeeded") == (job["status"], done["status"])
    assert (200, 404) == (kept, api.get(done["output"]).status_code)


@pytest.mark.replicate_emulator(speed=1000)
def test_the_mark_sets_the_speed(api):
    """A polling program sees its prediction end; the mark sets the models' speed."""
    started = time.monotonic()
    done = api.post(VIDEO, json={"input": {"prompt": "x"}}, headers={"Prefer": "wait"}).json()

    assert "succeeded" == done["status"]
    assert time.monotonic() - started < 30


def test_a_sleeping_thread_is_woken(replicate_emulator):
    """A thread that sleeps by the emulator's clock continues when time is advanced."""
    sleeping = threading.Thread(target=replicate_emulator.clock.sleep, args=[3600])
    sleeping.start()
    replicate_emulator.advance(3601)
    sleeping.join(timeout=30)

    assert not sleeping.is_alive()


@pytest.mark.replicate_emulator(faults=["503:read"])
def test_faults(replicate_emulator, api):
    """Faults come from the mark or are added during the test; an unknown fault is refused."""
    marked = [api.get("/account").status_code for _ in range(2)]
    replicate_emulator.fail("429:create:retry_after=3")
    added = [api.post(VIDEO, json={"input": {"prompt": "x"}}).status_code for _ in range(2)]
    with pytest.raises(UsageError, match="did you mean 'aborted'"):
        replicate_emulator.fail("500", "abort")

    assert ([503, 200], [429, 201]) == (marked, added)
    assert 200 == api.get("/account").status_code


def test_without_the_fixture():
    """`emulating` is a context manager for other test frameworks."""
    with emulating(outputs="data") as one, emulating() as other:
        assert one.url != other.url
        assert (
            httpx.codes.OK == httpx.get(f"{one.url}/account", headers={"Authorization": f"Bearer {TOKEN}"}).status_code
        )


@pytest.mark.replicate_emulator(proxy=True)
def test_as_a_proxy(replicate_emulator):
    """The environment also leads programs that only know the API's own name to the emulator, as a proxy."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    account = httpx.get("https://api.replicate.com/v1/account", headers=headers).json()
    source = (
        f"import httpx; print(httpx.get('https://api.replicate.com/v1/account', headers={headers}).json()['username'])"
    )
    program = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)

    assert [account["username"], program.stdout] == ["emulator", "emulator\n"]


@pytest.mark.replicate_emulator(faults="503:read")
def test_a_single_fault(api):
    """A single fault can be given as a string."""
    assert [503, 200] == [api.get("/account").status_code for _ in range(2)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "modles='x'",
            "replicate_emulator: unknown option 'modles'; did you mean models?\nhint: use one of models, faults,",
        ),
        (
            "'models'",
            "replicate_emulator: expected options by name, got 'models'\nhint: use replicate_emulator(models=…)\n",
        ),
        ("models='nosuch'", "cannot read nosuch: No such file or directory\nhint: "),
        ("faults=['abort']", "unknown fault 'abort'; did you mean 'aborted'?\nhint: "),
        ("speed=0", "speed: expected a number above 0, such as 10, got 0\n"),
        ("latency=-1", "latency: expected seconds, such as 0.1, got -1\n"),
        ("outputs='file'", "outputs: expected url or data, got 'file'\n"),
        ("streams='id'", "streams: expected guide or ids, got 'id'\n"),
    ],
)
def test_invalid_marks(tmp_path, options, message):
    """The test fails during setup with a message and a hint, without a traceback."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["kosmolua.testing"]\n')
    test = f"import pytest\n\n@pytest.mark.replicate_emulator({options})\ndef test_it(replicate_emulator): pass\n"
    (tmp_path / "test_it.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    said = done.stdout.partition("ERROR at setup of test_it ")[2].partition("\n")[2]
    assert (done.returncode, said.startswith(message)) == (1, True), done.stdout
