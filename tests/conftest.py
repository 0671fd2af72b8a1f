import os

import pytest
from recording_server import RecordingServer

pytest_plugins = ["kosmolua.testing"]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch, tmp_path):
    """No test uses tokens, addresses or proxies of this machine, or writes to the user's audit log."""
    for name in list(os.environ):
        if name.startswith(("REPLICATE_", "KOSMO")) and not name.startswith("KOSMOLUA_OFFICIAL"):
            monkeypatch.delenv(name)
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("KOSMO_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("KOSMO_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def server():
    made = RecordingServer()
    yield made
    made.close()
