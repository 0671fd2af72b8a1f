"""Completion as a function of text, cursor and what is known; no terminal is there."""

import os
import time

import pytest

from kosmolua.repl.completion import complete, files, signature

SCOPE = {"prediction": "local", "print": "function", "pairs": "function", "integrations": "table", "_1": "table"}
FIELDS = {
    ("prediction",): {"id": "string", "input": "table", "status": "string"},
    ("integrations", "replicate"): {
        "get_prediction": "function",
        "replicate_get_prediction": "function",
        "work": "table",
    },
}


class Known:
    def __init__(self, scope=SCOPE):
        self.scope = scope

    def names(self, *path):
        return list((FIELDS.get(path, {}) if path else self.scope).items())

    def accounts(self):
        return ["default", "work"]

    def files(self, prefix):
        return [name for name in ("cat.png", "dir/", "dog.png") if name.startswith(prefix)]


def texts(before, after=""):
    return [candidate.text for candidate in complete(before, after, Known())]


CREATE = "integrations.replicate.create_prediction"


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("pri", ["print"]),
        ("x = pr", ["prediction", "print"]),
        ("prediction.", ["id", "input", "status"]),
        ("prediction.st", ["status"]),
        ("print(prediction.i", ["id", "input"]),
        ("prediction:", ["id", "input", "status"]),
        ("f().", []),
        ("unknown.", []),
        ("integrations.replicate.", ["get_prediction", "work"]),
        ("integrations.replicate.replicate_g", ["replicate_get_prediction"]),
        ("integrations.replicate.predic", ["get_prediction"]),
        ("el", ["else", "elseif"]),
        ("", []),
        ("-- pri", []),
        ("x = 'pri", []),
        ("_", ["_1"]),
        (":re", ["reset"]),
        (":account ", ["default", "work"]),
        (":account w", ["work"]),
        (":load c", ["cat.png"]),
        (":emulate ", ["on", "off"]),
        (":reset ", []),
        ("?budg", ["budgets"]),
    ],
)
def test_what_may_come_next(before, expected):
    """Names in scope, fields of a value, commands and what they take."""
    assert expected == texts(before)


def test_arguments_come_with_the_required_first():
    """All that the function takes, each with what it is."""
    found = complete(f"{CREATE}{{", "", Known())

    assert ["version = ", "input = "] == [candidate.text for candidate in found[:2]]
    assert "string, required: " in found[0].about
    assert "webhook = " in [candidate.text for candidate in found]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"{CREATE}{{ version = 'v', ", ""),
        (f"{CREATE}({{ version = 'v', ", "})"),
        (f"{CREATE}{{ ", ", version = 'v' }"),
        (f"local p = {CREATE}{{\n  version = f{{ input = 1 }},\n  ", ""),
    ],
)
def test_an_argument_that_is_given_is_left_out(before, after):
    """Before the cursor or behind it; a name in a table within is another's."""
    found = texts(before, after)

    assert "version = " not in found
    assert "input = " == found[0]


def test_an_argument_is_completed_from_its_beginning():
    """Names that begin so come before those that hold it."""
    assert ["webhook = ", "webhook_events_filter = "] == texts(f"{CREATE}{{ webh")


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("integrations.replicate.list_models{ sort_direction = ", ['"asc"', '"desc"']),
        ('integrations.replicate.list_models{ sort_direction = "', ["asc", "desc"]),
        ("integrations.replicate.list_models{ sort_direction = 'd", ["desc"]),
        (f"{CREATE}{{ stream = ", ["true", "false"]),
        ("integrations.replicate.create_file{ path = '", ["cat.png", "dir/", "dog.png"]),
        ("integrations.replicate.create_file{ path = 'd", ["dir/", "dog.png"]),
        (f"{CREATE}{{ version = '", []),
        ("print{ path = 'c", ["cat.png"]),
    ],
)
def test_values(before, expected):
    """Where they can be listed: words of an enum, truth values, files."""
    assert expected == texts(before)


def test_a_value_may_be_any_expression():
    """Behind `name =` the names in scope complete as they do elsewhere."""
    assert ["prediction", "print"] == texts(f"{CREATE}{{ version = pr")


def test_where_a_candidate_goes():
    """It takes the place of what was typed of it."""
    (candidate,) = complete("x = prediction.sta", "", Known())

    assert ("status", -3, "string") == (candidate.text, candidate.start, candidate.about)


def test_summaries():
    """A function of the API and a helper say what they do."""
    assert complete("integrations.replicate.get_p", "", Known())[0].about.startswith("Show a prediction")
    assert complete("prin", "", Known())[0].about.startswith("Writes values")


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (f"{CREATE}{{ input = ", ("create_prediction", "input")),
        (f"{CREATE}{{ input", ("create_prediction", "input")),
        (f"{CREATE}{{", ("create_prediction", None)),
        (f"{CREATE}{{ input = {{ ", None),
        (f"f({CREATE}({{ version = 'x", ("create_prediction", "version")),
        ("print(", None),
        (f"{CREATE}{{}}", None),
    ],
)
def test_signature(before, expected):
    """The function whose arguments are being typed, and which of them is."""
    found = signature(before)

    assert expected == (found and (found[0].name, found[1] and found[1].name))


def test_files(tmp_path):
    """Paths as they are typed, directories with a slash, hidden ones when asked for."""
    (tmp_path / "lib").mkdir()
    for name in ("a.lua", "b.lua", ".hidden", "lib/c.lua"):
        (tmp_path / name).touch()

    assert ["a.lua", "b.lua", "lib/"] == files("", str(tmp_path))
    assert ["lib/c.lua"] == files("lib/", str(tmp_path))
    assert [".hidden"] == files(".h", str(tmp_path))
    assert [] == files("nowhere/", str(tmp_path))
    assert [os.path.join(str(tmp_path), "a.lua")] == files(os.path.join(str(tmp_path), "a"))


def test_a_keystroke_among_many_names():
    """Two thousand globals do not make it slow to type."""
    known = Known({f"global_{number}": "number" for number in range(2000)})
    complete("g", "", known)
    began = time.perf_counter()
    found = complete("x = { global_1", "", known)

    assert 1111 == len(found)
    assert time.perf_counter() - began < 0.05
