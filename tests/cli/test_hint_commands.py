"""Commands in messages can be run as printed."""

import ast
import json
import re
import shlex
from collections import deque
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from recording_server import Answer

from kosmolua.cli import COMMANDS, SHORT, call, options
from kosmolua.cli.completion import knowledge
from kosmolua.cli.reference import has_page
from kosmolua.errors import ONLY_EMULATED, KosmoError, PermissionDeniedError, emulated
from kosmolua.gate.functions import resolve
from kosmolua.host import unfinished
from kosmolua.journal import fit
from kosmolua.replicate import answers, problem
from kosmolua.replicate.catalogue import OPERATIONS
from kosmolua.settings.config import account_flag

ROOT = Path(__file__).parent.parent.parent
COMMAND = re.compile(r"kosmo ([a-z][\w:-]*[\w])((?: (?:'[^']*'|\"[^\"]*\"|[^\s,;)`'\"]+))*)")
PROSE = {
    "runs will",
    "serve printed",
    "in a",
    "runs RUN",
    "lua: kosmo",
    "lua after",
}  # the program's name in a sentence
PARTS = {
    "kosmo integrations",
    "kosmo integrations:X",
    "kosmo integrations:types",
}  # composed from several strings


def strings(path):
    """The strings of a Python file, with X for each interpolated value."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield "".join(each.value if isinstance(each, ast.Constant) else "X" for each in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def printed():
    """Every command in a message, as its name and its words."""
    texts = [text for path in (ROOT / "kosmolua").rglob("*.py") for text in strings(path)]
    texts += [text for path in (ROOT / "lua").rglob("*.lua") if "types" not in path.parts
              for text in path.read_text().splitlines()]  # fmt: skip
    for sentence in (each for text in texts for each in re.split(r"(?<=[.:]) ", text)):
        for found in COMMAND.finditer(sentence):
            yield found[1], found[2].split()


@cache
def flags(command):
    """All flags that the parser of a command defines; for a call also the parameters of functions."""
    known = {*knowledge().flags[command], "--help", "--"}
    if command in ("integrations:call", "integrations:replicate"):
        known |= {flag for one in OPERATIONS for flag in knowledge().parameters[one.name]}
    return known


def fault(command, words):
    """The reason why the command cannot be run as printed; None if it can."""
    if " ".join([command, *words[:1]]) in PROSE or f"kosmo {command}" in PARTS or command.endswith("X"):
        return None
    command = SHORT.get(command, command)
    if command == "help":
        page = words[0].rstrip(".") if words else "NAME"
        return (
            None
            if page in ("NAME", "TOPIC", "X", "topics") or page in COMMANDS or has_page(page)
            else f"unknown page {page}"
        )
    if command not in COMMANDS:
        return "unknown command"
    for word in words:
        flag = word.partition("=")[0].rstrip(".:").replace("_", "-")
        if flag.startswith("--") and "X" not in flag and "{" not in flag and flag not in flags(command):
            return f"unknown flag {flag}"
    actions = getattr(import_module(f"kosmolua.cli.{COMMANDS[command][0]}"), "ACTIONS", {})
    first = words[0].rstrip(".:") if words else ""
    if actions and re.fullmatch(r"[a-z]+", first) and first not in options.names_of(actions):
        return f"unknown action {first}"
    return None


def test_printed_commands_are_known():
    """Each printed command has a valid name, action and flags."""
    found = {(command, *words): why for command, words in printed() if (why := fault(command, words))}

    assert {} == found


def parsed(text):
    """Each call that the text prints, as the command line parses it."""
    for line in re.findall(r"kosmo integrations:(?:call|replicate) [^;\n]*", text):
        _, _, name, *words = shlex.split(line)
        yield resolve(name), call.read(resolve(name), deque(words), options.Options())


LEFT = SimpleNamespace(
    running=[("prediction", "p1", "default"), ("training", "t1", "work")],
    not_canceled=[],
    candidates=[("prediction", "p2", "default")],
    unanswered=2,
)


def test_the_printed_commands_cancel_running_jobs():
    """The commands printed after an interrupt cancel and list jobs on the account of each job, without a further
    question."""
    calls = [found for line in unfinished.lines(LEFT, canceled=False) for found in parsed(line)]

    assert [
        ("cancel_prediction", {"prediction_id": "p1"}, "allow", "default"),
        ("cancel_training", {"training_id": "t1"}, "allow", "work"),
        ("cancel_prediction", {"prediction_id": "p2"}, "allow", "default"),
    ] == [(one.name, made.arguments, made.options.write, made.options.account) for one, made in calls[:3]]
    assert "list_predictions" == calls[3][0].name


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.access == "write"], ids=lambda one: one.name)
def test_the_hint_of_an_uncertain_write_is_a_valid_read(operation):
    """The hint of a write that may have happened names a read function, in a form that the command line accepts."""
    found = [each for each, _ in parsed(answers.uncertain(operation, "lost").hint)]

    assert {"read"} >= {each.access for each in found}


def test_the_hint_of_an_uncertain_write_names_its_object(live, server):
    """The printed command contains the names that were sent."""
    server.default = Answer(503, b"{}")
    given = json.dumps({"owner": "a", "name": "b c", "visibility": "private", "hardware": "cpu"})
    ran = live("integrations:replicate", "create_model", given, "--write", "allow")

    assert "kosmo integrations:call replicate.get_model --model_owner=a --model_name='b c'" in ran.err


@pytest.mark.parametrize("one", [one for one in OPERATIONS if one.refusals], ids=lambda one: one.name)
def test_a_refusal_for_a_known_reason(one):
    """An answer that refuses a call for a documented reason has a hint that names the functions to use."""
    for status, hint in one.refusals.items():
        error = problem.error(one, status, {}, b'{"detail": "no"}')

        assert hint == error.hint
        assert all(resolve(name) for name in re.findall(r"\b(?:create|delete|get|list|update)_\w+", hint))


STRANGE = "a $(id) `id`;'\"b"


def test_file_names_are_quoted_in_printed_commands(kosmo, tmp_path):
    """A file name with special characters is one word of a printed command, so that a shell does not run parts of the
    name."""
    journal, script = tmp_path / STRANGE, tmp_path / f"{STRANGE}.lua"
    script.write_text("return 1")
    argv = ("lua", "--emulate", str(script), "--journal", str(journal))
    kosmo(*argv)
    kept = kosmo(*argv, "--fresh").err.partition(": kosmo runs show ")[2]
    hint = fit.of_a_script(str(journal), {"script": "s"}).hint.partition("kosmo runs resume ")[2]

    assert [True] == [each.startswith(str(journal)) for each in shlex.split(kept)]
    assert [str(journal)] == shlex.split(hint.rpartition("; or ")[0])


def test_account_names_are_quoted_in_printed_commands():
    """An account name with special characters is one word of a printed command."""
    assert ["--account", STRANGE] == shlex.split(account_flag(STRANGE))


def test_a_deployment_in_use_is_not_deleted(kosmo, tmp_path):
    """The emulator refuses to delete a deployment in use as the API does, with a hint on what to do."""
    (tmp_path / "f.lua").write_text(
        "local d = { deployment_owner = 'emulator', deployment_name = 'my-app-image-generator' }\n"
        "replicate.create_deployment_prediction { deployment_owner = d.deployment_owner,\n"
        "  deployment_name = d.deployment_name, input = { prompt = 'x' } }\n"
        "replicate.delete_deployment(d)\n"
    )
    ran = kosmo("lua", "--emulate", "f.lua")

    assert 1 == ran.status
    assert "409 Conflict" in ran.err
    assert "hint: take it offline with update_deployment and min_instances = 0" in ran.err


@pytest.mark.parametrize(
    "argv",
    [
        ("predictions", "show", "rhx2tmqa3drm80cpaxcb19h4ek"),
        ("integrations:replicate", "get_prediction", "--prediction-id", "rhx2tmqa3drm80cpaxcb19h4ek"),
        ("lua", "-e", "replicate.get_prediction { prediction_id = 'rhx2tmqa3drm80cpaxcb19h4ek' }"),
        ("model", "nobody/nothing"),
    ],
    ids=" ".join,
)
def test_objects_of_another_emulator_are_not_found(kosmo, argv):
    """The hint for an object that is not found with `--emulate` says that each command starts a new emulator."""
    ran = kosmo(*argv, "--emulate")

    assert 1 == ran.status
    assert f"; {ONLY_EMULATED}\n" in ran.err


@pytest.mark.parametrize("command", [("lua", "--emulate"), ("check", "--emulate"), ("lua", "--emulate", "--no-check")])
def test_a_model_of_the_emulator_is_shown_with_emulate(kosmo, tmp_path, command):
    """The hint about a wrong input names the command for the emulated model, both before and during the run."""
    (tmp_path / "f.lua").write_text("run('replicate/hello-world', { txt = 'a' })\n")
    ran = kosmo(*command, "f.lua")

    assert "ee its inputs: kosmo model replicate/hello-world --emulate" in ran.err + ran.out


def test_the_example_of_a_model_has_the_flags(kosmo, tmp_path):
    """The example command for a model from a directory has the flag --models with that directory."""
    found = kosmo("model", "replicate/hello-world", "--emulate", "--json").json
    version = {"id": "5" * 64, "openapi_schema": {"components": {"schemas": {"Input": {"properties": {}}}}}}
    made = {"owner": "a", "name": "b", "latest_version": version, "default_example": None, "url": found["model"]}
    (tmp_path / "my models").mkdir()
    (tmp_path / "my models" / "b.json").write_text(json.dumps(made))
    shown = kosmo("model", "a/b", "--emulate", "--models", "my models", "--json").json

    assert shown["example"].startswith("kosmo run --emulate --models 'my models' a/b")


def test_a_refusal_with_emulate_names_flags_only():
    """The configuration has no effect on the emulator, so the hint names only flags."""
    hint = "allow it for this command: --write allow, or always: kosmo integrations:configure replicate --write allow"
    error = emulated(PermissionDeniedError("m", hint=f"{hint}, or --force"))

    assert "allow it for this command: --write allow, or --force" == error.hint
    assert KosmoError("m", hint="x").hint == emulated(KosmoError("m", hint="x")).hint


def test_a_command_for_another_account_names_it(live, server):
    """The hint to show a prediction names the account that created it."""
    server.default = Answer(201, b'{"id": "p1", "status": "starting", "urls": {}}')
    stored = '{"account": "work", "set": {"api_key": "r8_marked_work"}, "storage": "file"}'
    assert 0 == live("integrations:configure", "replicate", "--stdin-json", stdin=stored.encode()).status
    ran = live("run", "a/b:" + "5" * 64, "x=1", "--account", "work", "--no-wait", "--no-check", "--write", "allow")

    assert "show it: kosmo predictions show p1 --account work\n" in ran.err
