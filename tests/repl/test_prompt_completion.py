"""Completion depends on text, cursor and known names, and needs no terminal."""

import os
import re
import time

import pytest

from kosmolua.repl import manual
from kosmolua.repl.commands import COMMANDS
from kosmolua.repl.completion import complete, files, signature
from kosmolua.replicate.versions import Version

SCOPE = {"prediction": "local", "print": "function", "pairs": "function", "integrations": "table", "_1": "table"}
FIELDS = {
    ("prediction",): {"id": "string", "input": "table", "status": "string"},
    ("integrations", "replicate"): {
        "get_prediction": "function",
        "replicate_get_prediction": "function",
        "work": "table",
    },
}


def version_of(required=(), **fields):
    taken = {"type": "object", "properties": fields, "required": list(required)}
    output = {"type": "array", "items": {"type": "string", "format": "uri"}}
    return Version("1" * 64, {"components": {"schemas": {"Input": taken, "Output": output}}})


VERSION = version_of(
    required=("prompt",),
    size={"type": "string", "enum": ["small", "large"], "default": "small"},
    steps={"type": "integer", "minimum": 1, "maximum": 4, "default": 2, "description": "How\n many."},
    rate={"enum": [8, 16]},
    tags={"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
    fast={"type": "boolean"},
    prompt={"type": "string", "description": "What to paint.\x1b[2J"},
    **{"top-k": {"type": "integer"}},
)


class Known:
    def __init__(self, scope=SCOPE):
        self.scope = scope
        self.asked = []

    def names(self, *path):
        return list((FIELDS.get(path, {}) if path else self.scope).items())

    def accounts(self):
        return ["default", "work"]

    def models(self, word, account=""):
        self.asked.append(account)
        return [(name, "about it") for name in ("a/b", "a/c") if name.startswith(word)]

    def version(self, reference, account=""):
        self.asked.append(account)
        return VERSION if reference == "a/b" else None

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
        (":jou", ["journal"]),
        (":journal ", ["cat.png", "dir/", "dog.png", "off"]),
        (":journal d", ["dir/", "dog.png"]),
        (":emulate ", ["on", "off"]),
        (":reset ", []),
        ("?budg", ["budgets"]),
    ],
)
def test_possible_next_words(before, expected):
    """Completion offers names in scope, fields of a value, commands and their arguments."""
    assert expected == texts(before)


def test_required_arguments_come_first():
    """All arguments of the function are offered, each with a description."""
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
def test_a_given_argument_is_not_offered(before, after):
    """An argument before or after the cursor is not offered again; names in nested tables do not count."""
    found = texts(before, after)

    assert "version = " not in found
    assert "input = " == found[0]


def test_an_argument_is_completed_from_its_beginning():
    """Names that begin with the text come before names that contain it."""
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
def test_possible_values(before, expected):
    """Values are offered for enums, booleans and files."""
    assert expected == texts(before)


def test_a_value_may_be_any_expression():
    """After `name =` names in scope are completed."""
    assert ["prediction", "print"] == texts(f"{CREATE}{{ version = pr")


def test_the_place_of_a_candidate():
    """A candidate replaces the part that was typed."""
    (candidate,) = complete("x = prediction.sta", "", Known())

    assert ("status", -3, "string") == (candidate.text, candidate.start, candidate.about)


def test_summaries():
    """Functions of the API and helpers have descriptions."""
    assert complete("integrations.replicate.get_p", "", Known())[0].about.startswith("Show a prediction")
    assert complete("prin", "", Known())[0].about.startswith("Write values")


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
    """The signature is that of the function being called, with its current argument."""
    found = signature(before, Known())

    assert expected == (found and (found.name, found.current and found.current.name))


def test_files(tmp_path):
    """Paths are completed as typed; directories end with a slash, and hidden files need a dot."""
    (tmp_path / "lib").mkdir()
    for name in ("a.lua", "b.lua", ".hidden", "lib/c.lua"):
        (tmp_path / name).touch()

    assert ["a.lua", "b.lua", "lib/"] == files("", str(tmp_path))
    assert ["lib/c.lua"] == files("lib/", str(tmp_path))
    assert [".hidden"] == files(".h", str(tmp_path))
    assert [] == files("nowhere/", str(tmp_path))
    assert [os.path.join(str(tmp_path), "a.lua")] == files(os.path.join(str(tmp_path), "a"))


def test_a_keystroke_with_many_names():
    """Two thousand globals do not slow down typing."""
    known = Known({f"global_{number}": "number" for number in range(2000)})
    complete("g", "", known)
    began = time.process_time()
    found = complete("x = { global_1", "", known)

    assert 1111 == len(found)
    assert time.process_time() - began < 0.05


# Models -----------------------------------------------------------------------------------------------------------

INPUTS = ["prompt = ", "size = ", "steps = ", "rate = ", "tags = ", "fast = ", '["top-k"] = ']


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ('run("a/b", {', INPUTS),
        ("replicate.run('a/b', { ", INPUTS),
        ("integrations.replicate.work.stream('a/b', { ", INPUTS),
        ("r.create('a/b', { ", INPUTS),
        ('run("a/b", { prompt = "x", size = "small", ', ["steps = ", "rate = ", "tags = ", "fast = ", '["top-k"] = ']),
        ('run("a/b", { ste', ["steps = "]),
        ('run("a/b", { size = ', ['"small"', '"large"']),
        ('run("a/b", { size = "s', ["small"]),
        ('run("a/b", { rate = ', ["8", "16"]),
        ('run("a/b", { tags = ', ['{ "a" }', '{ "b" }']),
        ('run("a/b", { tags = "', []),
        ('run("a/b", { fast = ', ["true", "false"]),
        ('parallel(list, function(p) local x, y = 1, 2 return run("a/b", { ste', ["steps = "]),
        ('run("a/b", { tags = { ', []),
        ('run("a/c", {', []),
        ("run(name, {", []),
        ("create('a/b', {", []),
        ("wait(run('a/b', { ste", ["steps = "]),
    ],
)
def test_a_models_inputs(before, expected):
    """Inputs that were given are omitted, required inputs come first, and possible values are shown."""
    assert expected == texts(before)


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ('run("', ["a/b", "a/c"]),
        ('run("a/c', ["a/c"]),
        ("x = replicate.stream('a", ["a/b", "a/c"]),
        ('print("a', []),
        ('run("a/b", "a', []),
        ('run("a/b", { prompt = "a', []),
        ('create("a', []),
    ],
)
def test_names_of_models(before, expected):
    """Model names are completed inside the first string of a function that runs a model."""
    assert expected == texts(before)


@pytest.mark.parametrize(
    ("path", "account"),
    [("run", ""), ("replicate.run", ""), ("integrations.replicate.work.run", "work"), ("mine.run", "")],
)
def test_an_accounts_models(path, account):
    """An account's models are looked up with the account of the call."""
    known = Known()
    complete(f'{path}("a/b", {{', "", known)
    complete(f'{path}("a', "", known)

    assert {account} == set(known.asked)


@pytest.mark.parametrize(
    ("before", "first", "without"),
    [
        ('run("a/b", {}, { ', "wait = ", "kind = "),
        ('run("a/b", { prompt = "x" }, { wait = 5, ', "timeout = ", "wait = "),
        ('replicate.stream("a/b", nil, { ', "validate = ", "timeout = "),
        ('r.create("a/b", input, { ', "validate = ", "wait = "),
        ("wait(p, { ", "timeout = ", "validate = "),
        ("parallel(list, function(a, b) local c, d = a, b end, { ", "limit = ", "wait = "),
        ('each("list_models", { ', "sort_by = ", "limit = "),
    ],
)
def test_options(before, first, without):
    """Options of a helper are completed, and the arguments of the function that `each` iterates over."""
    found = texts(before)

    assert first == found[0]
    assert without not in found


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("wait(p, { kind = ", ['"prediction"', '"training"']),
        ('wait(p, { kind = "tr', ["training"]),
        ('run("a/b", {}, { validate = ', ["true", "false"]),
        ('run("a/b", {}, { webhook_events_filter = ', ['{ "start" }', '{ "output" }', '{ "logs" }', '{ "completed" }']),
        ('parallel({}, f, { on_error = "', ["raise", "collect"]),
    ],
)
def test_values_of_options(before, expected):
    """The values are those in the editor's stubs."""
    assert expected == texts(before)


def test_the_signature_of_a_model():
    """The signature has inputs with defaults, the output, and the current input; the owner's text cannot control the
    terminal.
    """
    found = signature('run("a/b", { steps = ', Known())

    assert ("a/b", "list of files") == (found.name, found.returns)
    assert ("integer from 1 to 4", "How many.", "2") == (found.current.kind, found.current.help, found.current.default)
    assert {"size": '"small"', "steps": "2"} == {each.name: each.default for each in found.arguments if each.default}
    assert "What to paint.[2J" == next(each.help for each in found.arguments if each.name == "prompt")
    assert signature('run("a/c", { ', Known()) is None
    assert "run" == signature('run("a/c", {}, { ', Known()).name


@pytest.mark.parametrize("before", ["docs.search{ ", "docs.search({ query = ", "docs.search("])
def test_docs_are_not_functions_of_the_api(before):
    """`docs.search` is not the API's function of that name, so it has no signature of the API."""
    assert signature(before, Known()) is None


def test_the_page_of_a_helper():
    """The page of a helper has its declaration with its options."""
    page = manual.page("replicate.wait", COMMANDS)

    assert page.startswith("wait(job, options)\n")
    assert re.search(r"^  deadline +number ", page, re.MULTILINE)
    assert "app  An alias of integrations." == manual.page("app", COMMANDS)
