"""The reference commands, run from a shell."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from kosmolua.cli import main
from kosmolua.cli.reference import function_help
from kosmolua.manual.topics import topics
from kosmolua.replicate.catalogue import BY_NAME, OPERATIONS

DISCOVERY = """\
kosmo integrations:docs replicate --json
kosmo integrations:docs replicate.replicate_cancel_prediction --json
kosmo integrations:schema replicate.replicate_cancel_prediction --json
kosmo integrations:search "Replicate" --json
kosmo integrations:list --json"""
DOCS = Path(__file__).parent.parent.parent / "docs"
COMMANDS = ("list", "search", "docs", "schema", "examples", "fields")


def kosmo(line, **environment):
    """Run a printed command line in a shell, whatever its program name."""
    program = f"{shlex.quote(sys.executable)} -m kosmolua"
    command = line.replace("kosmo ", f"{program} ", 1)
    env = {**os.environ, "COLUMNS": "100", **environment}
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=False, env=env, timeout=60)


def answer(capfd, *argv):
    status = main(list(argv))
    out, err = capfd.readouterr()
    return status, out, err


def as_json(capfd, *argv):
    status, out, _ = answer(capfd, *argv)
    return status, json.loads(out)


@pytest.mark.parametrize("line", DISCOVERY.splitlines())
def test_discovery_as_printed(line):
    """Each printed command succeeds, and prints only JSON on standard output."""
    run = kosmo(line)

    assert (0, "") == (run.returncode, run.stderr)
    assert isinstance(json.loads(run.stdout), dict)


def test_docs_of_the_provider(capfd):
    """The provider's docs list every function and the required credentials."""
    status, found = as_json(capfd, "integrations:docs", "replicate", "--json")

    assert (0, True, "replicate") == (status, found["success"], found["provider"])
    assert [operation.name for operation in OPERATIONS] == [item["name"] for item in found["functions"]]
    assert ["api_key", "url"] == [field["key"] for field in found["fields"]]


def test_docs_of_a_function(capfd):
    """With --json, the docs of a function are its page in an envelope."""
    _, found = as_json(capfd, "integrations:docs", "replicate.replicate_cancel_prediction", "--json")

    assert found["success"]
    assert "replicate.replicate_cancel_prediction" == found["function"]
    assert ("write", "POST", "/predictions/{prediction_id}/cancel") == (
        found["access"], found["method"], found["path"],
    )  # fmt: skip
    assert [("prediction_id", "string", True, "path")] == [
        (item["name"], item["type"], item["required"], item["place"]) for item in found["parameters"]
    ]


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_any_name_shows_the_same_docs(name, capfd):
    """Short names, full names and the API's own names, with and without the provider, all show the same page."""
    shown = {answer(capfd, "integrations:docs", prefix + name)[:2] for prefix in ("", "replicate.")}

    assert {(0, answer(capfd, "integrations:docs", BY_NAME[name].name)[1])} == shown


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_schema_is_always_json(extra, capfd):
    """The schema is printed as JSON without an envelope, with or without --json."""
    status, found = as_json(capfd, "integrations:schema", "replicate.replicate_cancel_prediction", *extra)

    assert 0 == status
    Draft202012Validator.check_schema(found)
    assert ["prediction_id"] == found["required"]


def test_search(capfd):
    """The best results come first, each with the fields needed to choose; the limit shortens the list but does not
    change the count."""
    _, found = as_json(capfd, "integrations:search", "cancel", "prediction", "--json", "--limit", "2")

    assert ("cancel prediction", 2) == (found["query"], len(found["results"]))
    assert found["count"] > 2
    first = found["results"][0]
    assert {"function", "name", "access", "summary", "match", "score"} == set(first)
    assert ("cancel_prediction", "name") == (first["name"], first["match"])


def test_search_for_the_provider_finds_its_functions(capfd):
    """A search for the provider's name finds all its functions."""
    _, found = as_json(capfd, "integrations:search", "Replicate", "--json")

    assert 37 == found["count"] == len(found["results"])


@pytest.mark.parametrize("query", ["upscale image", "remove background", "text to speech"])
def test_search_for_what_a_model_does(query, capfd):
    """For a task of a model, the function that searches for models comes first, with its command."""
    _, found = as_json(capfd, "integrations:search", query, "--json")
    _, out, _ = answer(capfd, "integrations:search", query)

    assert ("search_models", "text") == (found["results"][0]["name"], found["results"][0]["match"])
    assert "kosmo models search WORDS" in out


def test_search_without_a_result(capfd):
    """A search without results is not a failure."""
    status, found = as_json(capfd, "integrations:search", "zzzzzz", "--json")
    _, out, _ = answer(capfd, "integrations:search", "zzzzzz")

    assert (0, True, 0, []) == (status, found["success"], found["count"], found["results"])
    assert "nothing found" in out


@pytest.mark.parametrize("query", ["\udcff\udcfe", "x" * 100_000, "\x1b[31mred", "a b " * 20_000, "日本"])
def test_search_accepts_any_text(query, capfd):
    """Searches with invalid bytes, control characters or long text succeed like others."""
    status, found = as_json(capfd, "integrations:search", query, "--json")
    _, out, _ = answer(capfd, "integrations:search", query)

    assert (0, True) == (status, found["success"])
    assert "\x1b" not in out


def test_providers_and_functions_are_listed(capfd):
    """Without arguments, providers are listed with their counts; with a provider, its functions are listed."""
    _, providers = as_json(capfd, "integrations:list", "--json")
    _, functions = as_json(capfd, "integrations:list", "replicate", "--json")

    assert ["replicate"] == [item["provider"] for item in providers["providers"]]
    assert {"functions": 37, "read": 22, "write": 15} == providers["providers"][0]["count"]
    assert 37 == functions["count"] == len(functions["functions"])


def test_each_interface_has_an_example(capfd):
    """Each interface has an example, in JSON and as text."""
    _, found = as_json(capfd, "integrations:examples", "get_model", "--json")
    _, out, _ = answer(capfd, "integrations:examples", "get_model")

    assert {"arguments", "call", "shortcut", "stdin", "lua"} == set(found["examples"])
    assert all(found["examples"][door] in out for door in ("call", "shortcut", "stdin", "lua"))


@pytest.mark.parametrize("argv", [[], ["replicate"]])
def test_configuration_fields_are_listed(argv, capfd):
    """Both fields are listed in the form that `integrations:configure` accepts."""
    _, found = as_json(capfd, "integrations:fields", *argv, "--json")

    assert [
        ("api_key", "secret", True, "API Token", "REPLICATE_API_KEY"),
        ("url", "url", False, "API Base URL", "REPLICATE_URL"),
    ] == [(one["key"], one["type"], one["required"], one["label"], one["env"]) for one in found["fields"]]


@pytest.mark.parametrize("name", sorted(topics()))
def test_pages_are_listed_and_shown(name, capfd):
    """Each page is listed, and shown as text and in JSON."""
    _, contents = as_json(capfd, "integrations:docs", "--json")
    _, found = as_json(capfd, "integrations:docs", name, "--json")
    _, out, _ = answer(capfd, "integrations:docs", name)

    assert name in [page["page"] for page in contents["pages"]]
    assert found["text"].startswith(f"# {found['title']}\n")
    assert found["text"].strip() == out.strip()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["docs", "replicate.cancel_predction"], "did you mean cancel_prediction"),
        (["docs", "replicat"], "did you mean replicate?"),
        (["docs", "argument"], "did you mean arguments?"),
        (["docs", "zzz"], "unknown page 'zzz': no function, helper or topic has this name"),
        (["schema", "replicate_get_acount"], "did you mean get_account"),
        (["examples", "get_modl"], "did you mean get_model"),
        (["list", "replicat"], "did you mean replicate?"),
        (["fields", "stripe"], "unknown provider 'stripe'"),
        (["search", " "], "the query is empty"),
        (["search"], "QUERY"),
        (["search", "x", "--limit", "0"], "expected a whole number of at least 1"),
        (["schema"], "FUNCTION"),
        (["docs", "a", "b"], "unrecognized arguments"),
    ],
)
@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_mistakes(argv, message, extra, capfd):
    """A mistake gives status 2 and a sentence that suggests the nearest name without listing the whole catalogue."""
    command, *rest = argv
    status, out, err = answer(capfd, f"integrations:{command}", *rest, *extra)

    assert 2 == status
    if extra:
        assert message in json.loads(out)["error"]
    else:
        assert (message in err, out) == (True, "")
    assert len(out + err) < 500


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_that_works(command):
    """--help ends with an example that runs successfully."""
    shown = kosmo(f"kosmo integrations:{command} --help")
    example = shown.stdout.rpartition("example:\n  ")[2].strip()

    assert 0 == shown.returncode
    assert example.startswith(f"kosmo integrations:{command}")
    assert 0 == kosmo(example).returncode


@pytest.mark.parametrize("columns", ["40", "80", "120"])
@pytest.mark.parametrize("argv", [["list", "replicate"], ["fields"], ["docs", "replicate"], ["search", "webhook"]])
def test_text_fits_the_terminal(argv, columns, capfd, monkeypatch):
    """Lines fit the terminal's width, and output in a pipe is not colored."""
    monkeypatch.setenv("COLUMNS", columns)
    _, out, _ = answer(capfd, f"integrations:{argv[0]}", *argv[1:])

    words = max(len(word) for word in out.split())
    assert all(len(line) <= max(int(columns), words + 6) for line in out.splitlines() if "kosmo " not in line)
    assert "\033" not in out


@pytest.mark.parametrize(
    ("no_color", "term", "coloured"), [("", "xterm", True), ("1", "xterm", False), ("", "dumb", False)]
)
def test_colour_only_on_a_terminal(no_color, term, coloured):
    """Output is colored only on terminals that support it, and not with NO_COLOR."""
    import pty

    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": term, "NO_COLOR": no_color}
    subprocess.run([sys.executable, "-m", "kosmolua", "integrations:list"], stdout=theirs, env=env, check=True)
    os.close(theirs)
    text = os.read(ours, 65536).decode()
    os.close(ours)

    assert coloured == ("\033[" in text)


def test_markdown(capfd):
    """The Markdown page of a function has a table of its parameters."""
    _, out, _ = answer(capfd, "integrations:docs", "get_model", "--markdown")

    assert out.startswith("# replicate.replicate_get_model\n")
    assert "| model_owner | string, required |" in out


def test_the_committed_reference_is_current(capfd):
    """The committed reference is up to date. To update it, run: kosmo integrations:docs replicate --markdown >
    docs/reference.md."""
    _, out, _ = answer(capfd, "integrations:docs", "replicate", "--markdown")

    assert (DOCS / "reference.md").read_text() == out
    anchors = {line.lstrip("#").strip().lower() for line in out.splitlines() if line.startswith("#")}
    assert set(re.findall(r"\]\(#(\w+)\)", out)) <= anchors


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_help_of_a_function(operation):
    """--help after a function of integrations:call shows the function's help."""
    assert f"integrations:replicate {operation.name} " in function_help(operation, "integrations:replicate")


def test_nothing_slow_is_loaded():
    """A new interpreter answers a search without loading the network, the keyring, Lua or the emulator."""
    code = (
        "import sys; from kosmolua.cli import main; "
        "main(['integrations:search', 'Replicate', '--json']); "
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not {"httpx", "ssl", "keyring", "lupa", "werkzeug", "tomlkit", "subprocess"} & set(run.stderr.split())


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("run a model", "run"),
        ("save a file", "files"),
        ("stream text", "stream"),
        ("wait for a prediction", "wait"),
        ("upload a file", "create_file"),
        ("cancel prediction", "cancel_prediction"),
        ("run", "run"),
        ("regular expression", "regex"),
        ("budget", "budgets"),
        ("limit spending", "budgets"),
    ],
)
def test_one_index_for_functions_helpers_and_topics(query, name, capfd):
    """The intended page comes first, whether it is a function, a helper or a topic."""
    _, found = as_json(capfd, "integrations:search", query, "--json")

    assert name == found["results"][0]["name"]


@pytest.mark.parametrize(
    ("query", "command"),
    [
        ("schedule a script", "kosmo schedule"),
        ("approve", "kosmo approvals"),
        ("mcp", "kosmo mcp:serve"),
        ("store a token", "kosmo integrations:configure"),
        ("resume runs", "kosmo runs"),
    ],
)
def test_commands_are_found_too(query, command, capfd):
    """A task that only a command can do is found after the pages."""
    _, found = as_json(capfd, "integrations:search", query, "--json")
    _, out, _ = answer(capfd, "integrations:search", query)

    assert command == found["commands"][0]["command"]
    assert f"  {command}  " in out


@pytest.mark.parametrize(
    "name", ["run", "wait", "stream", "each", "download", "parallel", "json", "file", "replicate.run"]
)
def test_the_page_of_a_helper(name, capfd):
    """A helper's page is plain text without annotations; with --json it has the declarations."""
    _, out, _ = answer(capfd, "integrations:docs", name)
    _, found = as_json(capfd, "integrations:docs", name, "--json")

    assert "---@" not in out
    assert (True, name.removeprefix("replicate.")) == (found["success"], found["page"])
    assert "```lua" in found["text"]


def test_success_is_a_boolean_in_every_page(capfd):
    """`success` is a boolean in every page; the HTTP statuses of a successful call have their own key."""
    _, found = as_json(capfd, "integrations:docs", "replicate.get_prediction", "--json")

    assert (True, [200]) == (found["success"], found["statuses"])
