"""Runs that are killed repeatedly create everything once, and end with the right result."""

import random

import killing
import pytest

ROUNDS = 17  # of each script


@pytest.mark.parametrize("name", sorted(killing.SCRIPTS))
def test_killed_again_and_again(name):
    """Host, child or both, at random moments, with a slow server."""
    dice = random.Random(name)
    kills = 0
    with killing.set_up() as (directory, host, server):
        for _ in range(ROUNDS):
            killed, envelope = killing.one_round(directory, host, server, dice, name)
            killing.check(server, envelope, name)
            kills += killed

    assert kills >= ROUNDS
