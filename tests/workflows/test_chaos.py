"""A server with constant faults: nothing is paid twice, and nothing is lost silently."""

import pytest
from chaos import play


@pytest.mark.parametrize("seed", [1, 2])
def test_trouble_all_the_time(tmp_path, seed):
    """With drops, delays, cuts and refusals, runs, streams and downloads end complete, with known results, created
    once.
    """
    figures = play(tmp_path, 60, seed, one_in=5)

    assert 15 < sum(figures["troubles"].values())
    assert sum(figures["failed"].values()) < 20
