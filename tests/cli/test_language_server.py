"""The diagnostics of a real language server for scripts with the generated stubs."""

import shutil
import subprocess
import sys
from contextlib import closing

import pytest
from language_server import LanguageServer, binary
from surroundings import EXAMPLES, clean_environment

from kosmolua.manual.stubs import stubs

MODELS = ("black-forest-labs/flux-schnell", "meta/meta-llama-3-8b-instruct")
SCRIPTS = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.lua"))
# Declarations use no arguments and return nothing, their tables are filled elsewhere, and a model's functions are
# declared in addition to those of all models.
OF_DECLARATIONS = {"unused", "missing-return", "missing-fields", "duplicate-type", "duplicate-set-field"}


@pytest.fixture(scope="module")
def program():
    path = binary()
    if path is None:
        pytest.skip("no language server is installed; install it with python -m pip install --group editor")
    return path


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """The examples, with the stubs of `integrations:types` next to them."""
    made = tmp_path_factory.mktemp("editor") / "scripts"
    shutil.copytree(EXAMPLES, made)
    models = [word for model in MODELS for word in ("--model", model)]
    (made.parent / "shop.py").write_text("def refund(number: str, amount: float = 0) -> list[str]:\n    ...\n")
    own = ["--functions", "shop:refund"]
    command = [sys.executable, "-m", "kosmolua", "integrations:types", "--emulate", "--out", made, *models, *own]
    subprocess.run(command, check=True, capture_output=True, cwd=made.parent, env=clean_environment(made.parent))
    return made


@pytest.fixture(scope="module")
def editor(program, directory):
    with closing(LanguageServer(program, directory)) as server:
        yield server


@pytest.mark.parametrize("name", SCRIPTS)
def test_examples(editor, name):
    """The language server reports no diagnostics for the examples."""
    assert [] == editor.diagnostics(name)


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ('print(replicate.get_prediction { prediction_id = "x" }.statsu)', "undefined-field", "statsu"),
        ('replicate.get_predicton { prediction_id = "x" }', "undefined-field", "get_predicton"),
        ("integrations.replicate.work.get_account {}", "undefined-field", "work"),
        ('replicate.create_model { owner = "a", name = "b", hardware = "cpu", visibility = "secret" }',
         "assign-type-mismatch", '`("public"|"private")`'),
        ('replicate.create_prediction { version = "v" }', "missing-fields", "`input`"),
        ("replicate.get_prediction {}", "missing-fields", "`prediction_id`"),
        ("replicate.get_prediction { prediction_id = 7 }", "assign-type-mismatch", "`integer` to `string`"),
        ("run(7, {})", "param-type-mismatch", "expected `string` but found `7`"),
        ('run("a/b", {}, { timeout = "5" })', "param-type-mismatch", "kosmolua.RunOptions"),
        ('local _, p = run("a/b", {})\nprint(p.seed)', "undefined-field", "seed"),
        ('file("x"):svae("y")', "undefined-field", "svae"),
        ('for event in stream("a/b") do print(event.text) end', "undefined-field", "text"),
        ('regex.match("x")', "missing-parameter", "pattern"),
        ('print(regex.match("x", "y").text)', "need-check-nil", "may be nil"),
        ('sleep("long")', "param-type-mismatch", "expected `number`"),
        ('print(wait(replicate.get_training { training_id = "x" }).model_name)', "undefined-field", "model_name"),
        ("print(promt)", "undefined-global", "promt"),
        ("custom.refund { number = 7 }", "assign-type-mismatch", "`integer` to `string`"),
        ("custom.refund {}", "missing-fields", "`number`"),
        ('print(custom.refnd { number = "7" })', "undefined-field", "refnd"),
    ],
)  # fmt: skip
def test_mistakes(editor, script, code, words):
    """Each mistake is reported at its place with its kind."""
    found = editor.diagnostics("mistake.lua", script)

    assert any((code, script.count("\n") + 1) == (kind, line) and words in message for line, kind, message in found)


def test_an_error_from_pcall_has_fields(editor):
    """For any call, the second value of `pcall` has the type of an error with its fields."""
    assert [] == editor.diagnostics("raised.lua", 'local ok, e = pcall(download, "a", "b")\nprint(ok or e.code)')


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("replicate.create_prediction { | }", ["input", "version", "prefer", "webhook", "cancel_after"]),
        ('replicate.create_model { visibility = "|" }', ["public", "private"]),
        ('run("a/b", {}, { | })', ["timeout", "cancel_on_timeout", "on_progress", "cache", "webhook"]),
        ("replicate.|", ["run", "get_prediction", "replicate_get_prediction", "default"]),
        ('local p = replicate.get_prediction { prediction_id = "x" }\nprint(p.|)', ["status", "output", "metrics"]),
    ],
)
def test_completion(editor, script, expected):
    """The language server offers arguments, their values, options, functions and fields."""
    found = editor.request("textDocument/completion", **editor.open_at("completion.lua", script))
    offered = {item["label"].removesuffix(" = ").removesuffix("?") for item in found}

    assert set() == set(expected) - offered


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            'ru|n("a/b")',
            "Run a model and return its output, converted according to the model's schema, and the prediction.",
        ),
        (
            'replicate.ru|n("a/b")',
            "Run a model and return its output, converted according to the model's schema, and the prediction.",
        ),
        ("replicate.get_acc|ount {}", "Show the user or organization that the token belongs to."),
        ('print(replicate.get_prediction { prediction_id = "x" }.dead|line)', "the API cancels the prediction then"),
    ],
)
def test_hovering_shows_the_declaration(editor, script, expected):
    """Hovering over a name shows its declaration."""
    shown = editor.request("textDocument/hover", **editor.open_at("hover.lua", script))

    assert expected in shown["contents"]["value"]


def test_the_stubs_themselves(program, directory, tmp_path):
    """The stubs have no diagnostics: each type they name exists, and each line is valid."""
    for path in (directory / "types").iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace("---@meta\n", "\n", 1))
    with closing(LanguageServer(program, tmp_path)) as server:
        found = {name: server.diagnostics(name) for name in (*stubs(), "models.lua", "custom.lua")}
        wrong = server.diagnostics("wrong.lua", "---@type replicate.Nothing\nlocal _\n---@type replicate.File[\n")

    # The server has its own tables with these names, and reports our functions as unknown fields.
    lines = {name: (tmp_path / name).read_text().splitlines() for name in found}
    unexpected = {
        (name, line, code)
        for name, items in found.items()
        for line, code, _ in items
        if code not in OF_DECLARATIONS
        and not (code == "undefined-field" and lines[name][line - 1].startswith(("function io.", "function debug.")))
    }

    assert all(found.values())
    assert set() == unexpected
    assert {"type-not-found", "syntax-error"} <= {code for _, code, _ in wrong}
