"""Fixtures for a host: only the test's own configuration, and hosts that call the recording server."""

import pytest

from kosmolua import Host


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Use only the test's own configuration."""
    monkeypatch.setenv("KOSMO_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def live(server):
    """Make hosts that call the recording server with a token."""
    opened = []

    def make(**options):
        opened.append(Host(token="r8_marked_token", url=server.url, **options))
        return opened[-1]

    yield make
    for host in opened:
        host.close()
