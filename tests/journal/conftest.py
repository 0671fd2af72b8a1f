import time

import pytest
from journalled import Emulated, Flow

from kosmolua.emulator import Emulator, ManualClock, running


@pytest.fixture(params=["standard", "none"])
def isolation(request):
    return request.param


@pytest.fixture
def flow(server, tmp_path):
    """Runs scripts with a journal against the recording server."""
    return Flow(server.url, tmp_path / "flow.journal")


@pytest.fixture
def emulated(tmp_path):
    """Runs scripts with a journal against an emulator on a socket, whose clock only advances on request."""
    emulator = Emulator(clock=ManualClock(time.time()))
    with running(emulator) as url:
        yield Emulated(emulator, url, tmp_path / "flow.journal")
