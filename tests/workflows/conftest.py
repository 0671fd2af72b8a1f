import pytest
from flows import Flow


@pytest.fixture
def flow(tmp_path):
    made = Flow(tmp_path)
    yield made
    made.close()
