"""`:budget` and the bottom line show the spending."""

import pytest

from kosmolua.gate.budget import Caps
from kosmolua.repl.budget import brief, spending

SPENT = {"calls": 3, "writes": 1, "predictions": 1, "seconds_of_compute": 7.5, "cost": 0.012}


@pytest.mark.parametrize(
    ("guessed", "words"),
    [
        ({}, ["7.5 s compute", "cost 0.012"]),
        ({"seconds_of_compute": 7.0}, ["0.5 s compute + 7.0 s guessed", "cost 0.012"]),
        ({"cost": 0.003, "unpriced": 2}, ["7.5 s compute", "cost 0.012 (estimated)", "2 of unknown price"]),
    ],
)
def test_the_bottom_line_shows_estimates_separately(guessed, words):
    """The bottom line shows seconds reported by the API, seconds by the clock, and the cost."""
    assert words == brief(SPENT, guessed)


def test_the_command_shows_estimates():
    """The command shows the estimate next to the amount and the limit."""
    lines = spending(SPENT, Caps(seconds_of_compute=10), {"seconds_of_compute": 7.0, "unpriced": 1}).splitlines()

    assert "seconds_of_compute         7.5  of 10  (7 guessed)" in lines
    assert "of unknown price             1" == lines[-1]
