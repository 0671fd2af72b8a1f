"""A script that computes little cannot make its host exceed the CPU limit; `host_cpu.py` has all attempts."""

import random

import pytest
from host_cpu import ATTEMPTS, LIMIT, OWN, api, ground, host_for, measured

SOME = random.Random(13).sample(sorted(ATTEMPTS), 12)
HEAVY = ["docs.search", "plan, anyOf", "plan, members", "download, data URL", "file, cache", "follow"]
LATE = 0.4  # seconds of CPU until the host checks the limit and ends the current step
ONCE = 1.0  # seconds of CPU that no single request reaches


@pytest.fixture(scope="module")
def served():
    with api() as url, ground(), host_for(url) as host:
        measured(host, url, "", "replicate.list_hardware {}", 0)
        yield host, url


@pytest.mark.parametrize("name", sorted({*SOME, *HEAVY}))
def test_the_host_computes_no_more_than_the_limit(served, name):
    """The host stays below the limit for one request, and for as many requests as 0.1 s of Lua can make."""
    host, url = served
    _, setup, attempt = ATTEMPTS[name]
    once, _ = measured(host, url, setup, attempt, 0)
    result, process = measured(host, url, setup, attempt, OWN)

    assert once.host_cpu < ONCE or once.error.code == "limit_reached"
    assert result.host_cpu < LIMIT + LATE
    assert process < LIMIT + LATE + 0.2
    if result.host_cpu > LIMIT + 0.1:
        assert {"limit": "cpu", "value": LIMIT} == result.error.detail
