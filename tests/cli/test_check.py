"""`kosmo check`, and the same check before each run of `kosmo lua`."""

import json

import pytest
from recording_server import Answer
from tmux import Screen

WRONG = 'local images = run("a/b", { prompt = "x" }, { time_out = 5 })\nprint(images[1])\n'
MODEL = {
    "owner": "a", "name": "b",
    "latest_version": {"id": "f" * 64, "openapi_schema": {"components": {"schemas": {"Input": {
        "type": "object", "required": ["prompt"], "properties": {
            "prompt": {"type": "string"}, "image": {"type": "string", "format": "uri"}}}}}}},
}  # fmt: skip


@pytest.fixture
def script(tmp_path):
    def write(text, name="flow.lua"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
        return name

    return write


def test_problems_for_people(kosmo, script):
    """One line has the place and the message, and another has the hint; the exit status reports errors."""
    ran = kosmo("check", script(WRONG))

    said = [
        "flow.lua:1: run: unknown option `time_out`; did you mean `timeout`?",
        "  hint: See its options: kosmo integrations:docs run",
    ]
    assert (1, said) == (ran.status, ran.out.splitlines())


def test_problems_for_machines(kosmo, script):
    """With --json, one envelope lists the problems with their fields."""
    ran = kosmo("check", script(WRONG), script('print("fine")', "fine.lua"), "--json")

    assert (1, "") == (ran.status, ran.err)
    assert {
        "success": False,
        "files": ["flow.lua", "fine.lua"],
        "problems": [
            {
                "file": "flow.lua", "line": 1, "column": 47, "severity": "error", "code": "invalid_arguments",
                "message": "run: unknown option `time_out`; did you mean `timeout`?",
                "hint": "See its options: kosmo integrations:docs run",
            }
        ],
    } == ran.json  # fmt: skip


def test_a_script_without_errors(kosmo, script):
    """A script without errors gives status 0; only notes and warnings are printed."""
    assert (0, "", "") == kosmo("check", script("print(time())")).seen


def test_inputs_that_were_not_checked(kosmo, script):
    """Without --online, a line on standard error says that the inputs of models were not checked."""
    name = script('print(run("a/b", { prompt = "x" }))')

    assert (0, "", "kosmo: inputs of models were not checked; add --online\n") == kosmo("check", name).seen
    assert (0, "") == (kosmo("check", name, "--json").status, kosmo("check", name, "--json").err)
    assert "not checked" not in kosmo("check", name, "--emulate").err
    noted = kosmo("check", script('run("a/b", {}):save("x.png")\nprint(io.read)'))
    assert 0 == noted.status
    assert noted.out.startswith("flow.lua:1: note: saves 'x.png', which needs --allow-write\n")
    assert {"success": True, "files": ["flow.lua"], "problems": []} == kosmo("check", "--json", script("return 1")).json


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["nowhere.lua"], "cannot read the script 'nowhere.lua'"),
        ([], "the following arguments are required: FILE"),
        (["x.lua", "--onlin"], "did you mean --online?"),
    ],
)
def test_a_wrong_command(kosmo, argv, words):
    """An invalid command line gives exit status 2."""
    ran = kosmo("check", *argv)

    assert (2, "") == (ran.status, ran.out)
    assert words in ran.err


def test_the_check_runs_no_code(kosmo, script):
    """The check runs neither the script nor a module."""
    script('error("ran")', "lib.lua")
    ran = kosmo("check", script('require("lib") while true do end'), "--json")

    assert (0, []) == (ran.status, ran.json["problems"])


def test_schemas_are_requested_with_online(server, live, script):
    """--online requests schemas with read calls through the gate; without the flag nothing is sent."""
    server.default = Answer(body=json.dumps(MODEL).encode())
    name = script('run("a/b", { promt = "x", image = "cat.png" })')

    assert 0 == live("check", name).status
    assert [] == server.requests
    ran = live("check", name, "--online")
    assert 1 == ran.status
    assert "unknown input `promt`; did you mean `prompt`?" in ran.out
    assert 'did you mean file("cat.png")?' in ran.out
    assert ["GET"] == [request.method for request in server.requests]
    server.requests.clear()
    live("check", name, "--online", "--read", "deny")
    assert [] == server.requests


def test_a_deprecated_input(live, server, script):
    """A deprecated input gives only a warning, since it still works."""
    fields = {"size": {"type": "integer", "deprecated": True}, "width": {"type": "integer"}}
    schemas = {"Input": {"type": "object", "properties": fields}}
    version = {"id": "a" * 64, "openapi_schema": {"components": {"schemas": schemas}}}
    server.default = Answer(body=json.dumps({"owner": "a", "name": "b", "latest_version": version}).encode())
    ran = live("check", script('run("a/b", { size = "64", width = 3.0 })'), "--online")

    assert (0, 1) == (ran.status, ran.out.count("warning"))
    assert "a/b: input `size` is deprecated" in ran.out


# Before a run -----------------------------------------------------------------------------------------------------


def test_a_run_that_is_certain_to_fail_sends_nothing(server, live, script):
    """A run that is certain to fail ends with status 2 and the line, before any earlier call of the script."""
    name = script('replicate.get_account()\nrun("a/b", { prompt = "x" }, { time_out = 5 })\n')
    ran = live("lua", name, "--write", "allow")

    assert (2, "") == (ran.status, ran.out)
    assert "error: flow.lua:2: run: unknown option `time_out`; did you mean `timeout`?\n" in ran.err
    assert "  >    2 | run(" in ran.err
    assert [] == server.requests


def test_the_check_can_be_skipped(server, live, script):
    """With --no-check the script runs up to the call that fails."""
    ran = live("lua", script("replicate.get_account()\nprnt(1)"), "--no-check")

    assert 1 == ran.status
    assert 1 == len(server.requests)


def test_a_refused_run_for_machines(live, server):
    """With --json, the envelope of a refused run has the code and place of the first problem; its detail lists all
    problems."""
    ran = live("lua", "--json", "-e", "print(1)\nreplicate.get_acount{}\nreplicate.get_model{ name = 1 }")

    assert (2, False, "unknown_function", "eval:2") == (
        ran.status, ran.json["success"], ran.json["code"], ran.json["meta"]["where"]
    )  # fmt: skip
    assert [2, 3] == [problem["line"] for problem in ran.json["meta"]["detail"]]
    assert ("", []) == (ran.err, server.requests)


@pytest.mark.parametrize(
    ("source", "status", "words"),
    [
        ('replicate.get_account() run("a/b", {}):save("x.png")', 3, "saves 'x.png', but no directory is allowed"),
        ('replicate.get_account() run("a/b", { image = file("x.png") })', 3, "reads 'x.png', but no directory"),
        ('replicate.get_account() prnt(run("a/b", {}):save("x.png"))', 2, "did you mean print?"),
    ],
)
def test_missing_permission_is_reported_before_the_run(live, server, source, status, words):
    """The exit status is 3 if missing permissions are the only problems."""
    ran = live("lua", "--write", "allow", "-e", source)

    assert status == ran.status
    assert words in ran.err
    assert [] == server.requests


def test_files_are_explained(kosmo, script):
    """--explain lists each place in the script that saves or reads a file."""
    name = script('local images = run("a/b", { image = file("in/a.png") })\nimages[1]:save("out/b.png")')
    ran = kosmo("lua", "--explain", "--json", name)

    assert [
        (1, "reads 'in/a.png', which needs --allow-read"),
        (2, "saves 'out/b.png', which needs --allow-write"),
    ] == [(one["line"], one["what"]) for one in ran.json["files"]]


def test_a_journalled_run_is_not_refused_for_files(live, server, script):
    """A run with a journal is not refused because of missing directories, since the journal may answer the calls."""
    name = script('replicate.get_account() if args[1] then run("a/b", {}):save("x.png") end')
    ran = live("lua", name, "--journal", "night.journal")

    assert 0 == ran.status
    assert 1 == len(server.requests)


def test_a_denied_call_is_reported_before_the_run(live, server):
    """The run is refused before the first of two calls, which would already cost money."""
    source = 'run("a/b", {}, { wait = false }) replicate.delete_model { model_owner = "a", model_name = "b" }'
    ran = live("lua", "-e", f"--@ needs: create_*, get_*\n{source}", "--write", "allow")

    assert 3 == ran.status
    assert "delete_model: the script's header `--@ needs: create_*, get_*`" in ran.err
    assert [] == server.requests


def test_a_warning_is_printed_once(live, server):
    """A warning is printed once on standard error, and the script runs."""
    source = 'for i = 1, 3 do if i > 5 then print(utf8.len("x"), utf8.len("y")) end end replicate.get_account()'
    ran = live("lua", "-e", source)

    assert 0 == ran.status
    assert 1 == ran.err.count("warning: utf8.len is not available in scripts")
    assert 1 == len(server.requests)
    assert "" == live("lua", "--json", "-e", source).err


def test_the_check_adds_no_request(live, server):
    """With the check, only the run's own requests are sent."""
    server.default = Answer(body=json.dumps(MODEL).encode())
    live("lua", "-e", 'return replicate.get_account().name, 1 + #"x"')

    assert 1 == len(server.requests)


def test_an_unreadable_module_is_reported(live, server, script):
    """An unreadable module is reported before an earlier call is made."""
    script("return 1", "lib/names.lua")
    ran = live("lua", script('replicate.get_account()\nrequire("lib.names")'))

    assert 3 == ran.status
    assert "flow.lua:2: reads 'lib/names.lua', but no directory is allowed for reading" in ran.err
    assert [] == server.requests


def test_a_module_is_checked(kosmo, script):
    """The check finds names that a module defines, and a module's mistakes prevent the run."""
    script("function shared() return 1 end\nreturn replicate.get_acount", "lib/names.lua")
    ran = kosmo("lua", "--emulate", "--allow-read", ".", script('require("lib.names") shared()'))

    assert 2 == ran.status
    assert "lib/names.lua:2: unknown function replicate.get_acount" in ran.err


@pytest.mark.parametrize("source", ["x = = 1", "(" * 5000, "x = [[", "local s = 'x"])
def test_a_syntax_error_is_reported_by_luajit(kosmo, source):
    """A syntax error has LuaJIT's own message, as without the check."""
    ran = kosmo("lua", "--json", "-e", source)

    assert (1, "syntax_error") == (ran.status, ran.json["code"])


FAN_OUT = """
local images = parallel({ 1, 2, 3 }, function(i)
  local out = run("black-forest-labs/flux-schnell", { prompt = "x", width = 32, height = 32, seed = i })
  return out[1]:save("out/" .. i .. ".png").path
end)
return #images
"""


def test_saves_are_refused_before_anything_is_paid(kosmo):
    """Without a terminal, a run that may not save its files is refused, also with a new journal. The error names the
    directory, even if the script composes the path."""
    for flags in ((), ("--journal", "new"), ("--journal", "new", "--fresh")):
        ran = kosmo("lua", "--emulate", "-e", FAN_OUT, *flags)
        assert (3, True) == (ran.status, "saves a file, but no directory is allowed for writing" in ran.err)
        assert "Add --allow-write out to the command." in ran.err


@pytest.mark.parametrize(("answer", "expected"), [("y", "\n3\n"), ("n", "no directory is allowed for writing")])
def test_a_person_is_asked_to_open_a_directory(tmp_path, answer, expected):
    """A person is asked before the run; the answer yes creates the directory and allows the run to save there."""
    script = FAN_OUT.replace('"out/"', f'"{tmp_path}/out/"')
    screen = Screen(tmp_path, "lua", "--emulate", "-e", script, prompt="for this run? [y/N]", stay=True)
    try:
        screen.enter(answer, Screen.ENDED)
        assert expected in screen.text
    finally:
        screen.close()
    assert (answer == "y") == (tmp_path / "out" / "3.png").exists()
