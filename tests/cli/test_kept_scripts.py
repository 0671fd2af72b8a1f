"""Scripts stored by name, with typed arguments, and the skill for agents."""

import json
import os
import pty
import subprocess
import sys

import pytest

from kosmolua._version import __version__
from kosmolua.cli import main
from kosmolua.errors import ArgumentError, UsageError
from kosmolua.gate.described import Argument, describe

DRAW = """--@ describe: Draw a picture
--@ arg prompt string: what to draw
--@ arg count integer = 2: how many
--@ arg large boolean?: whether to enlarge it
--@ max_calls: 5
return args.prompt, args.count, args.large, integrations.replicate.get_account{}.username
"""


@pytest.fixture(autouse=True)
def _own_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("KOSMO_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "draw-it.lua").write_text(DRAW)


def test_a_script_is_kept_listed_shown_and_run(capfd):
    """A stored script is named after its file, and has arguments with names and types."""
    assert 0 == main(["scripts", "add", "draw-it.lua"])
    assert "run it: kosmo scripts run draw_it" in capfd.readouterr().out
    assert 0 == main(["scripts", "list"])
    assert "name     description\ndraw_it  Draw a picture\n" == capfd.readouterr().out
    assert 0 == main(["scripts", "show", "draw_it"])
    assert DRAW == capfd.readouterr().out

    assert 0 == main(["scripts", "run", "draw_it", "prompt=a fox", "large=yes", "--", "--emulate", "--json"])
    assert ["a fox", 2, True, "emulator"] == json.loads(capfd.readouterr().out)["results"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["prompt=a fox = a dog"], ["a fox = a dog", 2, None, "emulator"]),
        (["prompt=a fox", "count=3", "large=no"], ["a fox", 3, False, "emulator"]),
        ([], "draw-it.lua: missing `prompt`"),
        (["a fox"], "draw-it.lua: expected NAME=VALUE, got 'a fox'"),
        (["promt=x"], "draw-it.lua: unknown argument `promt`; did you mean `prompt`?; missing `prompt`"),
        (["prompt=x", "count=many"], "draw-it.lua: expected an integer, got 'many' - at `count`"),
    ],
)
def test_a_file_takes_the_arguments_that_it_declares(capfd, words, expected):
    """`kosmo lua FILE` reads the arguments that the header declares as `scripts run` does."""
    status = main(["lua", "--emulate", "--json", "draw-it.lua", *words])
    envelope = json.loads(capfd.readouterr().out)

    assert ((0, expected) if isinstance(expected, list) else (2, [])) == (status, envelope["results"])
    if isinstance(expected, str):
        assert envelope["error"] in expected
        assert "give its arguments as prompt=STRING [count=INTEGER] [large=BOOLEAN]" == envelope["meta"]["hint"]


def test_explain_lists_the_declared_arguments(capfd):
    """`lua --explain` shows which arguments a script takes."""
    assert 0 == main(["lua", "--explain", "--emulate", "draw-it.lua"])
    assert "arguments: prompt=STRING [count=INTEGER] [large=BOOLEAN]" in capfd.readouterr().out


def test_options_of_lua_keep_the_arguments_in_the_hint(capfd):
    """The hint is the whole command, with the options after --."""
    main(["scripts", "add", "draw-it.lua"])
    assert "run it: kosmo scripts run draw_it prompt=STRING" in capfd.readouterr().out
    assert 2 == main(["scripts", "run", "draw_it", "prompt=a fox", "--write", "allow"])
    assert "kosmo scripts run draw_it 'prompt=a fox' -- --write allow" in capfd.readouterr().err


def test_arguments_have_a_json_schema(capfd):
    """The arguments of a script are described in JSON Schema."""
    main(["scripts", "add", "draw-it.lua", "--json"])
    assert {"name": "draw_it", "describe": "Draw a picture"}.items() <= json.loads(capfd.readouterr().out).items()
    main(["scripts", "show", "draw_it", "--json"])

    assert {
        "type": "object",
        "properties": {
            "prompt": {"type": "string", "description": "what to draw"},
            "count": {"type": "integer", "description": "how many Default: 2."},
            "large": {"type": "boolean", "description": "whether to enlarge it"},
        },
        "required": ["prompt"],
        "additionalProperties": False,
    } == json.loads(capfd.readouterr().out)["schema"]


def test_a_kept_script_is_resumed_with_the_same_arguments(tmp_path, capfd):
    """`runs resume` takes the arguments from the journal, even if a default has changed since; other values are
    refused."""
    main(["scripts", "add", "draw-it.lua", "--name", "draw"])
    flags = ["--", "--emulate", "--journal", str(tmp_path / "j"), "--json"]

    def run(*argv):
        capfd.readouterr()
        status = main([*argv])
        out, err = capfd.readouterr()
        return status, json.loads(out) if out.startswith("{") else err

    first = run("scripts", "run", "draw", "prompt=a fox", "large=no", *flags)[1]
    (tmp_path / "draw-it.lua").write_text(DRAW.replace("= 2", "= 3"))
    main(["scripts", "add", "draw-it.lua", "--name", "draw", "--overwrite"])
    resumed = run("runs", "resume", str(tmp_path / "j"), "--json")[1]
    status, refused = run("scripts", "run", "draw", "prompt=a fox", "large=no", *flags)
    shown = run("runs", "show", str(tmp_path / "j"), "--json")[1]

    assert ["a fox", 2, False, "emulator"] == first["results"] == resumed["results"]
    assert [1, 0] == [len(each["call_log"]) for each in (first, resumed)]
    assert {"count": 2, "large": False, "prompt": "a fox"} == shown["run"]["named"]
    assert status != 0
    assert "belongs to a run with the arguments" in refused["error"]
    main(["runs", "show", str(tmp_path / "j")])
    assert "count=2 large=False prompt=a fox" in capfd.readouterr().out


def test_a_kept_script_is_recorded_and_replayed(tmp_path, capfd):
    """The cassette contains the script's arguments without secrets; other arguments are refused."""
    (tmp_path / "sly.lua").write_text("--@ arg token string\nreturn integrations.replicate.get_account{}.username")
    main(["scripts", "add", "sly.lua"])
    file = str(tmp_path / "c.jsonl")
    assert 0 == main(["scripts", "run", "sly", "token=abc123", "--", "--emulate", "--record", file])
    assert 0 == main(["scripts", "run", "sly", "token=abc123", "--", "--replay", file])
    shown = capfd.readouterr().out
    assert 0 != main(["scripts", "run", "draw_it", "prompt=x", "--", "--replay", file])

    assert "emulator\nemulator\n" in shown
    assert "abc123" not in (tmp_path / "c.jsonl").read_text()


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["run", "draw"], 2, "draw.lua: missing `prompt`"),
        (["run", "draw", "prompt=a", "cuont=1"], 2, "unknown argument `cuont`; did you mean `count`?"),
        (["run", "draw", "prompt=a", "count=two"], 2, "expected an integer, got 'two' - at `count`"),
        (["run", "draw", "prompt"], 2, "expected NAME=VALUE"),
        (["run", "draw", "--emulate"], 2, "kosmo scripts run draw -- --emulate"),
        (["run", "drwa", "prompt=a"], 2, "unknown script 'drwa'; did you mean draw?"),
        (["run"], 2, "missing script name"),
        (["show", "../../etc/passwd"], 2, "unknown script"),
        (["add", "draw-it.lua", "--name", "../x"], 2, "invalid name"),
        (["add", "draw-it.lua", "--name", "draw"], 2, "the script draw exists already"),
        (["add", "nosuch.lua"], 2, "nosuch.lua"),
        (["add"], 2, "missing FILE"),
    ],
)
def test_mistakes_are_reported(capfd, argv, code, words):
    """A mistake is reported before anything runs or is written."""
    assert 0 == main(["scripts", "add", "draw-it.lua", "--name", "draw"])
    capfd.readouterr()

    assert code == main(["scripts", *argv])
    assert words in capfd.readouterr().err


@pytest.mark.parametrize(
    ("line", "argument"),
    [
        ("arg prompt string what to draw", Argument(name="prompt", type="string", about="what to draw")),
        ("arg: n number = 1.5: size", Argument(name="n", type="number", about="size", required=False, default=1.5)),
        ('arg s string = "a b": text', Argument(name="s", type="string", about="text", required=False, default="a b")),
        ("arg l list?: names", Argument(name="l", type="list", about="names", required=False)),
        ("arg b boolean", Argument(name="b", type="boolean")),
    ],
)
def test_an_argument_is_declared(line, argument):
    """The colons in a declaration are optional."""
    assert (argument,) == describe(f"--@ {line}\nreturn 1".encode(), "s").arguments


@pytest.mark.parametrize(
    "header", ["--@ arg", "--@ arg n", "--@ arg n int: x", "--@ arg n integer = x", "--@ arg a list\n--@ arg a list"]
)
def test_a_wrong_declaration_is_refused(header):
    """An invalid declaration is reported when the script is added."""
    with pytest.raises((UsageError, ArgumentError)):
        describe(f"{header}\n".encode(), "s")


def test_values_are_converted_by_type():
    """Both text from the command line and data from a tool are converted."""
    found = describe(b"--@ arg n number\n--@ arg i integer\n--@ arg b boolean\n--@ arg l list\n", "s")

    assert {"n": 1.5, "i": 3, "b": False, "l": ["a", "b"]} == found.values(
        {"n": "1.5", "i": "3", "b": "no", "l": "a, b"}, "s"
    )
    assert {"n": 1, "i": 3, "b": True, "l": []} == found.values({"n": 1.0, "i": 3.0, "b": True, "l": []}, "s")
    for wrong in ({"n": "nan"}, {"i": 1.5}, {"b": "maybe"}, {"l": [1]}, {"n": True}):
        with pytest.raises(ArgumentError):
            found.values({"n": 1, "i": 1, "b": True, "l": [], **wrong}, "s")


def test_the_skill_reports_its_version(tmp_path, capfd):
    """The skill is installed where agents look for skills, and `kosmo skill --check` reports whether the installed
    skill is out of date."""
    assert 0 == main(["skill"])
    text = capfd.readouterr().out
    assert text.startswith("---\nname: kosmolua\n")
    assert f"belongs to kosmo {__version__}." in text
    assert 1 == main(["skill", "--check"])
    assert "does not exist" in capfd.readouterr().out

    assert 0 == main(["skill", "--install"])
    path = tmp_path / ".claude" / "skills" / "kosmolua" / "SKILL.md"
    assert text == path.read_text()
    assert 0 == main(["skill", "--check"])
    path.write_text(text.replace(__version__, "0.0.1"))
    capfd.readouterr()
    assert 1 == main(["skill", "--check", "--json"])
    assert {"installed": "0.0.1", "version": __version__, "success": False}.items() <= json.loads(
        capfd.readouterr().out
    ).items()
    assert 0 == main(["skill", "--install", "--project"])
    assert "`kosmo skill --install --project`" in path.read_text()


def test_a_terminal_is_shown_no_control_characters(tmp_path):
    """Another person's script is shown without control characters on a terminal; a file gets the bytes unchanged."""
    (tmp_path / "sly.lua").write_text("-- \x1b[2J\n")
    main(["scripts", "add", "sly.lua"])
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "kosmolua", "scripts", "show", "sly"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs) as process:
        os.close(theirs)
        shown = os.read(ours, 1000)
        assert 0 == process.wait(30)
    os.close(ours)

    assert b"-- \\x1b[2J\r\n" == shown
    assert b"-- \x1b[2J\n" == subprocess.run(command, check=True, capture_output=True).stdout


def test_a_header_declares_a_bounded_number_of_arguments():
    """A header with too many arguments is refused without comparing all their names."""
    header = "".join(f"--@ arg a{number} string: x\n" for number in range(200_000))

    with pytest.raises(UsageError, match=r"s\.lua:101: more than 100 arguments"):
        describe(header.encode(), "s.lua")
