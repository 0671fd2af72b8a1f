"""A server that is in trouble all the time: nothing is paid twice, nothing is lost without a word."""

import pytest
from chaos import play


@pytest.mark.parametrize("seed", [1, 2])
def test_trouble_all_the_time(tmp_path, seed):
    """Runs, streams and downloads through drops, delays, cuts and refusals end known, whole and created once."""
    figures = play(tmp_path, 60, seed, one_in=5)

    assert 20 < sum(figures["troubles"].values())
    assert sum(figures["failed"].values()) < 20
