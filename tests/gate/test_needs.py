"""A script's header: its syntax and its enforcement."""

import pytest

from kosmolua.errors import PermissionDeniedError, UsageError
from kosmolua.gate import needs
from kosmolua.gate.budget import Caps
from kosmolua.gate.functions import resolve
from kosmolua.gate.policy import Call, policy_of
from kosmolua.gate.run import Run
from kosmolua.gate.session import Session
from kosmolua.replicate.client import Client
from kosmolua.settings import config

HEADER = b"""#!/usr/bin/env kosmo
-- A comment.
--@ needs: create_prediction, replicate.get_*

--@ models: Black-Forest-Labs/*, meta/llama
--@ max_predictions: 10
--@ max_cost: 2.5
local x = 1
--@ needs: delete_file
"""


def test_a_header_is_read():
    """The header ends at the first line of code; it has names in any form, and models in any case."""
    found = needs.read(HEADER, "flow.lua")

    assert ("create_prediction", "get_*") == found.functions
    assert ("black-forest-labs/*", "meta/llama") == found.models
    assert Caps(predictions=10, cost=2.5) == found.caps
    assert {"needs", "models", "max_predictions", "max_cost"} == set(found.to_dict())


def test_without_a_header_nothing_is_declared():
    """A string that looks like a header is not a header."""
    assert needs.Needs() == needs.read(b"local s = [[\n--@ needs: get_account\n]]", "a.lua")


@pytest.mark.parametrize(
    ("line", "needle"),
    [
        ("need: get_account", "flow.lua:1: unknown header key 'need'; did you mean needs?"),
        ("budget", "unknown header key 'budget'; expected one of needs, models"),
        ("needs: get_acount", "unknown function 'get_acount'; did you mean get_account?"),
        ("max_calls: many", "expected a number of at least 0, got 'many'"),
        ("max_calls: -1", "got '-1'"),
        ("max_calls: 1.5", "got '1.5'"),
        ("max_calls: 1e999", "got '1e999'"),
        ("max_calls: 1\n--@ max_calls: 2", "flow.lua:2: duplicate header key max_calls"),
    ],
)
def test_an_invalid_header_is_an_error(line, needle):
    """The error names the line, before anything runs."""
    with pytest.raises(UsageError) as caught:
        needs.read(f"--@ {line}\n".encode(), "flow.lua")

    assert needle in caught.value.message


@pytest.mark.parametrize(
    ("function", "arguments", "allowed"),
    [
        ("create_prediction", {"version": "black-forest-labs/flux"}, True),
        ("create_prediction", {"version": "meta/llama:abc"}, True),
        ("create_prediction", {"version": "meta/llama-2"}, False),
        ("create_prediction", {"version": "0123abcd"}, False),
        ("get_account", {}, True),
        ("get_model", {"model_owner": "meta", "model_name": "llama"}, True),
        ("get_model", {"model_owner": "meta", "model_name": "other"}, False),
        ("delete_file", {"file_id": "f"}, False),
    ],
)
def test_the_run_is_limited_to_its_header(function, arguments, allowed):
    """The run refuses functions and models that the header does not name, and calls whose model is unknown."""
    call = Call(resolve(function), "default", arguments)
    found = needs.read(HEADER, "flow.lua")
    if allowed:
        return found.check(call)
    with pytest.raises(PermissionDeniedError, match=r"the script.s header"):
        found.check(call)
    return None


def test_force_does_not_bypass_the_header(server):
    """The header belongs to the script, not to the operator's policy, so --force does not bypass it."""
    run = Run(script="flow.lua", needs=needs.read(HEADER, "flow.lua"))
    policy = policy_of(config.load({}, write="allow"))
    with Session(lambda _: Client(token="t", base_url=server.url), policy, force=True, run=run) as made:
        with pytest.raises(PermissionDeniedError):
            made.call("delete_file", {"file_id": "f"})

        assert [] == server.requests
        assert ("deny", "the script's own header", "refused") == (
            made.log[0].decision, made.log[0].rule, made.log[0].outcome
        )  # fmt: skip
