"""Runs that are killed repeatedly create each prediction once, and end with the right result."""

import random

import killing
import pytest

ROUNDS = 17  # rounds of each script


@pytest.mark.parametrize("name", sorted(killing.SCRIPTS))
def test_runs_that_are_killed_repeatedly_create_everything_once(name):
    """The host, the child or both are killed at random moments, with a slow server."""
    dice = random.Random(name)
    kills = 0
    with killing.set_up() as (directory, host, server):
        for _ in range(ROUNDS):
            killed, envelope = killing.one_round(directory, host, server, dice, name)
            killing.check(server, envelope, name)
            kills += killed

    assert kills >= ROUNDS
