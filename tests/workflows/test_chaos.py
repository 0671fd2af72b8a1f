"""With a server that always has faults, nothing is paid for twice, and nothing is lost without an error."""

import pytest
from chaos import play


@pytest.mark.parametrize("seed", [1, 2])
def test_constant_faults(tmp_path, seed):
    """With drops, delays, cuts and refusals, runs, streams and downloads end complete, with known results, and are
    created once.
    """
    figures = play(tmp_path, 60, seed, one_in=5)

    assert 15 < sum(figures["troubles"].values())
    assert sum(figures["failed"].values()) < 20
