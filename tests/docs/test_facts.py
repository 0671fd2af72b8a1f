"""Facts that documentation pages repeat from the code are compared with the code."""

import re
from pathlib import Path

import pytest

from kosmolua.cli.options import CAPS
from kosmolua.emulator import jobs
from kosmolua.errors import CODES, EXIT_FAILED
from kosmolua.gate.budget import Caps
from kosmolua.manual.topics import facts, topics
from kosmolua.mcp.clients import CLIENTS
from kosmolua.repl.commands import COMMANDS
from kosmolua.replicate.catalogue import OPERATIONS
from kosmolua.replicate.results import TERMINAL
from kosmolua.services import poller

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
# The path of a file or directory in this repository, as a page names it.
PATH = re.compile(
    r"`((?:kosmolua|lua|tests|docs|examples|findings|\.ci)/[\w./-]*|Makefile|pyproject\.toml|[A-Z]+\.md)`"
)
TOPICS = ROOT / "kosmolua" / "manual" / "topics"
MAX_README = 1200  # words
UNUSUAL = re.compile(r"\b(?:is none|stands? behind|means nothing here|in the place of|under way|beside)\b")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
PAGES = [*ROOT.glob("*.md"), *DOCS.glob("*.md"), *(ROOT / "findings").glob("*.md")]


def rows(page, heading):
    """The cells of each row in the tables below a heading."""
    section = (DOCS / page).read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]


def anchors(page):
    """The URL fragments of the headings on a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_the_readme_is_short():
    """The README can be read in a few minutes; longer texts have their own pages."""
    words = len((ROOT / "README.md").read_text().split())

    assert words < MAX_README


@pytest.mark.parametrize("page", [*PAGES, *sorted(TOPICS.glob("*.md"))], ids=lambda page: page.name)
def test_pages_use_plain_words(page):
    """Pages use the usual terms, such as "after", "next to", "in flight", "invalid" and "instead of"."""
    assert [] == UNUSUAL.findall(page.read_text())


def test_exit_statuses_name_their_codes():
    """Each error code is listed with its exit status; all other codes have status 1."""
    named = {code: int(row[0]) for row in rows("cli.md", "Exit statuses") for code in re.findall(r"`(\w+)`", row[2])}

    assert {code: status for code, status in CODES.items() if status != EXIT_FAILED} == named


def test_limits_are_the_defaults():
    """The table of limits shows the default limits of a run."""
    shown = {flag: row[1] for row in rows("isolation.md", "Limits") for flag in re.findall(r"`--(\w+)-limit", row[2])}

    assert {name: facts()[f"{name}_limit"] for name in ("cpu", "time", "memory", "output")} == shown


def test_fixed_limits_are_those_of_the_code():
    """The table also shows the limits that have no flag, as in the code."""
    shown = {row[0]: row[1] for row in rows("isolation.md", "Limits")}

    assert facts()["max_open"] == shown["requests in flight"]
    assert facts()["max_frame"] == shown["one message between script and host"]
    assert facts()["max_arguments"] == shown["values in the arguments of a call"]
    assert f"{facts()['max_lines']} each" == shown["printed lines, returned values"]
    assert facts()["max_lines"] == facts()["max_results"]


def test_counts_of_tools():
    """The page for agents states the number of functions in the catalogue."""
    reads = sum(operation.access == "read" for operation in OPERATIONS)
    tools = {row[0]: row[1] for row in rows("mcp.md", "Choose tools or code mode")}

    assert f"{reads} reads; {len(OPERATIONS)} with writes" == tools["tools"]
    assert str(reads) == tools["`kosmo mcp:serve`"]
    assert str(len(OPERATIONS)) == tools["`kosmo mcp:serve --write allow`"]


def test_final_statuses_are_the_same_everywhere():
    """The workflow helpers and the emulator use the final statuses of the API's types."""
    table = re.search(r"TERMINAL = \{(.*?)\}", (ROOT / "lua" / "workflow" / "output.lua").read_text())[1]

    assert TERMINAL == set(re.findall(r"(\w+) = true", table))
    assert TERMINAL == jobs.TERMINAL


def test_scripts_poll_like_the_host():
    """A wait with options polls at the same intervals as the host."""
    line = re.search(r"FIRST, LONGEST, FACTOR = (.*?) --", (ROOT / "lua" / "workflow" / "wait.lua").read_text())[1]

    assert [poller.FIRST, poller.LONGEST, poller.FACTOR] == [float(number) for number in line.split(", ")]


def test_final_statuses_have_a_colour():
    """The report page colors the bar of a job by its final status."""
    drawn = re.findall(r"i\.(\w+)", (ROOT / "kosmolua" / "page" / "parts.css").read_text())

    assert set(drawn) >= TERMINAL


def test_every_budget_has_a_flag():
    """Each limit of `Caps` can be set on the command line."""
    assert Caps.__struct_fields__ == tuple(CAPS)


def test_the_page_about_agents_lists_every_client():
    """The page about agents names each client in which the server can be registered."""
    text = (DOCS / "mcp.md").read_text().partition("Supported clients are")[2].partition(". `--project`")[0]

    assert list(CLIENTS) == re.findall(r"`([\w-]+)`", text)


def test_topics_leave_no_placeholder():
    """Every {{name}} in a topic refers to a known fact."""
    assert [] == [name for name, text in topics().items() if "{{" in text]


def test_the_prompt_page_lists_every_command():
    """Each command of the prompt is described in docs/repl.md."""
    text = (DOCS / "repl.md").read_text()

    assert [] == [command.name for command in COMMANDS if not re.search(rf"`:{command.name}\b", text)]


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_named_paths_exist(page):
    """Every file and directory that a page for maintainers names exists in the repository."""
    named = PATH.findall((ROOT / page).read_text())

    assert named
    assert [] == [path for path in named if not (ROOT / path).exists()]


def test_the_architecture_lists_every_room():
    """Each folder of the package has a line in the tree of the architecture page."""
    tree = (DOCS / "architecture.md").read_text().partition("\nkosmolua/\n")[2].partition("```")[0]
    rooms = {path.parent.name for path in (ROOT / "kosmolua").glob("*/__init__.py")}

    assert rooms == set(re.findall(r"^  (\w+)/ ", tree, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_have_a_target(page):
    """Every link to another page refers to an existing file and heading."""
    for path, fragment in LINK.findall(page.read_text()):
        target = page.parent / path if path else page

        assert target.exists(), path
        assert not fragment or fragment in anchors(target), f"{path}#{fragment}"
