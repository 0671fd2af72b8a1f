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
    """The environment points Replicate's clients and started programs to the emulator."""
    source = "return (replicate.run('meta/meta-llama-3-8b-instruct', { prompt = 'rain', max_tokens = 4 }))"
    command = [sys.executable, "-m", "kosmolua", "lua", "--write", "allow", "-e", source]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    with Host(read="allow") as host:
        listed = host.call("list_predictions")["results"]

    assert [ran.stdout.strip()] == ["".join(job["output"]).strip() for job in listed]
    assert replicate_emulator.url == os.environ["REPLICATE_BASE_URL"] + "/v1"
    assert replicate_emulator.token == os.environ["REPLICATE_API_TOKEN"] == TOKEN


def test_time_is_under_control(replicate_emulator, api):
    """A slow prediction ends at once when time is advanced, and its files expire an hour later."""
    job = api.post(VIDEO, json={"input": {"prompt": "x"}}).json()
    replicate_emulator.advance(100)
    done = api.get(job["urls"]["get"]).json()
    kept = api.get(done["output"]).status_code
    replicate_emulator.advance(3600)

    assert ("starting", "succeeded") == (job["status"], done["status"])
    assert (200, 404) == (kept, api.get(done["output"]).status_code)


@pytest.mark.replicate_emulator(speed=1000)
def test_time_passes_by_itself(api):
    """A polling program sees its prediction end; models are as fast as the mark says."""
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
    """Faults come from the mark, or are added during the test; an unknown one is refused."""
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
