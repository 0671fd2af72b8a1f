"""The names and options that the check knows are those of the sandbox."""

import re

import pytest

from kosmolua import Host
from kosmolua.check import names
from kosmolua.check.engine import Engine
from kosmolua.check.names import nearest
from kosmolua.check.rules.helpers import option_types
from kosmolua.replicate.catalogue import BY_NAME


def test_known_names_are_those_of_the_sandbox():
    """`KNOWN` lists the sandbox's names, so that the check rarely has to query the sandbox. Update `KNOWN` if this test
    fails."""
    with Engine() as engine:
        found = dict(engine.names)
    provider = found.pop("replicate")
    found = {name: () if name in {"app", "integrations"} else tuple(sorted(fields)) for name, fields in found.items()}

    known = {name: tuple(sorted(fields)) for name, fields in names.KNOWN.items() if name != "replicate"}
    assert known == found
    assert {"default", *names.HELPERS} == set(provider) - set(BY_NAME)


@pytest.mark.parametrize(
    ("name", "place", "call"),
    [
        ("run", 2, 'run("a/b", {}, { nothing_at_all = 1 })'),
        ("create", 2, 'replicate.create("a/b", {}, { nothing_at_all = 1 })'),
        ("stream", 2, 'stream("a/b", {}, { nothing_at_all = 1 })'),
        ("wait", 1, 'wait("id", { nothing_at_all = 1 })'),
        ("each", 2, 'each("list_models", {}, { nothing_at_all = 1 })'),
        ("parallel", 2, "parallel({}, print, { nothing_at_all = 1 })"),
    ],
)
def test_known_options_are_those_of_the_helpers(name, place, call):
    """The table of options that stubs, prompt and check share has exactly the options of the Lua helpers."""
    with Host(emulate=True, isolation="none") as host:
        result = host.run(f"return select(2, pcall(function() {call} end))")
    message = result.value if isinstance(result.value, str) else result.value["message"]
    listed = re.search(r"`nothing_at_all`; (?:there are|expected) ([a-z_, ]+)", message)[1].split(", ")

    assert sorted(option_types(name, place)) == sorted(name.strip() for name in listed)


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("pritn", "print"),
        ("prnt", "print"),
        ("Print", "print"),
        ("timeOut", "timeout"),
        ("time_out", "timeout"),
        ("aspect", "aspect_ratio"),
        ("duplicate", None),
        ("xy", None),
        ("print", None),
    ],
)
def test_the_nearest_name(word, found):
    """A name is suggested if at most one letter in four differs, ignoring case, or if the word is the beginning of the
    name."""
    assert found == nearest(word, ["print", "timeout", "aspect_ratio", "replicate", "x", "y"])
