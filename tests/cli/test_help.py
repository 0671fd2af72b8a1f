"""The help of commands, of their actions, and of documentation pages."""

import re
from importlib import import_module

import pytest

from kosmolua.cli import COMMANDS, main
from kosmolua.cli.options import TOPICS, names_of
from kosmolua.emulator.faults import KINDS, TARGETS
from kosmolua.errors import CODES
from kosmolua.manual.topics import KEYWORDS, title, topics
from kosmolua.settings.credentials import VARIABLES

GROUPS = {
    name: import_module(f"kosmolua.cli.{module}").ACTIONS
    for name, (module, _) in COMMANDS.items()
    if hasattr(import_module(f"kosmolua.cli.{module}"), "ACTIONS")
}
OWN = {("runs", "undo"): ("--yes", "--dry-run"), ("runs", "resume"): (), ("models", "show"): ("--all",)}


@pytest.fixture
def helped(capsys, monkeypatch):
    """Runs a help command, and returns its status and output."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*argv):
        try:
            status = main([*argv])
        except SystemExit as ended:
            status = ended.code or 0
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.mark.parametrize("group", GROUPS)
def test_help_of_a_group_lists_its_actions(helped, group):
    """The help of a command with several actions lists each action with its arguments and a summary."""
    status, out, _ = helped(group, "--help")

    assert 0 == status
    assert [] == [use for use in GROUPS[group] if f"\n  {use} " not in out]


@pytest.mark.parametrize(("group", "action"), [(group, name) for group in GROUPS for name in names_of(GROUPS[group])])
def test_help_of_each_action(helped, group, action):
    """`kosmo GROUP ACTION --help` and `kosmo help GROUP ACTION` show the same help."""
    status, out, _ = helped(group, action, "--help")

    assert (status, out) == helped("help", group, action)[:2]
    assert (0, f"usage: kosmo {group}") == (status, out[: len(f"usage: kosmo {group}")])


@pytest.mark.parametrize(("group", "action"), OWN)
def test_the_help_of_a_group_refers_to_options_of_an_action(helped, group, action):
    """The help of a group refers to the help of each action that has its own options, and the action's help lists the
    options."""
    out = helped(group, action, "--help")[1]

    assert f"kosmo {group} {action}" in out
    assert [] == [flag for flag in OWN[group, action] if flag not in out]
    assert not OWN[group, action] or f"kosmo {group} {action} --help" in " ".join(helped(group, "--help")[1].split())


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (("help", "rnus"), "runs"),
        (("help", "permisions"), "permissions"),
        (("help", "get_predicton"), "get_prediction"),
        (("--help", "doctro"), "integrations:doctor"),
        (("topics", "files"), "integrations:docs"),
    ],
)
def test_help_for_an_unknown_name(helped, words, near):
    """Help for an unknown name is an error that suggests the nearest name."""
    status, out, err = helped(*words)

    assert (2, "") == (status, out)
    assert f"did you mean {near}?" in err


@pytest.mark.parametrize(
    ("word", "topic"),
    [
        ("cost", "budgets"),
        ("status", "errors"),
        ("header", "lua"),
        ("fault", "faults"),
        ("policy", "permissions"),
        ("sandbox", "isolation"),
    ],
)
def test_a_word_leads_to_its_topic(helped, kosmo, word, topic):
    """Help for a word that no page is named after suggests the topic about it, and a search finds it."""
    found = kosmo("integrations:search", word, "--json").json["results"]

    assert f"read the topic: kosmo help {topic}\n" in helped("help", word)[2]
    assert f"did you mean {topic}" in helped("integrations:docs", word)[2]
    assert topic == next(each["name"] for each in found if each["access"] == "topic")


def test_the_help_names_the_topics(helped):
    """The help lists the topics, and `kosmo help topics` shows their titles."""
    out = helped("help")[1]
    titles = helped("help", "topics")[1]

    listed = out.split("kosmo help topics):\n")[1].split("\n\n")[0]
    assert [*topics()] == listed.replace("\n", "").replace(" ", "").split(",")
    assert [] == [name for name, text in topics().items() if not re.search(rf"\n  {name} +{title(text)}\n", titles)]


@pytest.mark.parametrize(
    ("name", "topic"), [("lua", "lua"), ("runs", "runs"), ("models", "models"), ("budget", "budgets")]
)
def test_the_help_of_a_command_names_its_topic(helped, name, topic):
    """The help of a command ends with the command that shows the topic about it."""
    assert helped("help", name)[1].endswith(f"\n\ntopic: kosmo integrations:docs {topic}\n")


def test_every_named_topic_exists():
    """Commands and keywords refer only to topics that exist, and every topic has keywords."""
    assert set() == set(TOPICS.values()) - topics().keys()
    assert KEYWORDS.keys() == topics().keys()


def test_the_page_of_exit_leads_to_the_exit_statuses(helped):
    """The page of the helper `exit` names the topic that lists the exit statuses."""
    assert "see the topic `errors`" in " ".join(helped("help", "exit")[1].split())


def test_the_page_of_stdin_has_its_methods(helped):
    """The page of `stdin` names its methods and has an example."""
    out = helped("help", "stdin")[1]

    assert [] == [word for word in ("stdin:read(", "stdin:lines()", "\nexample\n") if word not in out]


def test_the_page_of_the_provider_names_all_token_variables(helped):
    """The page of the provider names each environment variable that can hold the token."""
    assert [] == [name for name in VARIABLES if name not in helped("help", "replicate")[1]]


def test_the_table_of_error_codes_has_every_code(helped):
    """The topic about errors lists each code apart from its exit status."""
    rows = re.findall(r"^    (\w+) +(\d+)$", helped("help", "errors")[1], re.MULTILINE)

    assert CODES == {code: int(status) for code, status in rows}


def test_the_topic_about_faults_lists_all_kinds(helped):
    """The topic about faults lists each kind with its meaning and options, and each target."""
    text = helped("help", "faults")[1]
    rows = [
        (
            name,
            kind.help
            + (f" ({', '.join(f'{key}={value}' for key, value in kind.options.items())})" if kind.options else ""),
        )
        for name, kind in KINDS.items()
    ]

    assert [] == [row for row in rows if f"    {row[0]:<13}{row[1]}\n" not in text]
    assert [] == [target for target in TARGETS if f"\n    {target:<13}" not in text]


def test_the_help_has_every_command_in_a_section(helped):
    """The help lists every command in a section by purpose."""
    out = helped("--help")[1]
    names = re.findall(r"^  (\S+)(?:  |$)", out, re.MULTILINE)

    assert [*COMMANDS] == [name for name in names if name in COMMANDS]
    assert "\nrun models and scripts:\n  run  " in out
    assert "\n\nset up:\n  integrations:configure  " in out


def test_help_for_a_page(helped):
    """`kosmo help` shows the page of a topic, a script helper, or a function."""
    pages = ("permissions", "wait", "get_account", "replicate")

    assert [helped("integrations:docs", page) for page in pages] == [helped("help", page) for page in pages]


@pytest.mark.parametrize("page", ["nosuch", "get_predicton"])
def test_unknown_page(helped, page):
    """The error for an unknown page names the places that were searched."""
    status, _, err = helped("integrations:docs", page)

    assert 2 == status
    assert f"unknown page {page!r}: no function, helper or topic has this name" in err


@pytest.mark.parametrize("command", ["submit", "schedule", "triggers"])
def test_help_names_the_worker(helped, command):
    """The help of commands that only add rows to a database says that a worker has to run on the same database."""
    out = " ".join(helped(command, "--help")[1].split())

    assert "A worker must be running on the same database: start kosmo worker" in out


def test_help_says_what_jq_needs(helped):
    """The help of `--jq` names the required extra, and the alternative without it."""
    out = " ".join(helped("run", "--help")[1].split())

    assert "needs the extra jq (without it: --json | jq EXPR)" in out


def test_schedules_and_triggers_are_listed_by_default(kosmo):
    """Without an action, these commands list what is in the database; here they fail because no database is
    configured."""
    assert [4, 4, 4] == [kosmo(command).status for command in ("schedule", "triggers", "workers")]


def parsers():
    """The parsers of the commands that have one, each with the command's name as id."""
    for command, (name, _) in COMMANDS.items():
        make = getattr(import_module(f"kosmolua.cli.{name}"), "_parser", None)
        if make and name not in ("reference", "mcp"):
            yield pytest.param(make(command), id=command)


@pytest.mark.parametrize("parser", [*parsers()])
def test_a_default_in_the_help_is_the_default(parser):
    """A default that the help states as a number is the value that is used without the option."""
    told = [
        (each.dest, each.default, re.search(r"\(default: ([0-9]+(?:\.[0-9]+)?)\)", each.help or ""))
        for each in parser._actions
    ]

    assert [] == [(name, used, found[1]) for name, used, found in told if found and float(found[1]) != float(used)]
