import pytest
from flows import Flow
from recorded import CONVERSATIONS, Replay


@pytest.fixture
def replay(tmp_path):
    """Run a flow against these recorded conversations; `.replay` is the server that repeats them."""
    flow = Flow(tmp_path)

    def start(*names):
        flow.replay = Replay([exchange for name in names for exchange in CONVERSATIONS[name]["exchanges"]])
        return flow.visit(flow.replay)

    yield start
    flow.close()
