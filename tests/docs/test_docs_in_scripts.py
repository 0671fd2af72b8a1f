"""`docs` in a script: its list, search and pages work without network access or permission."""

import pytest

from kosmolua import Host
from kosmolua.manual.stubs import summaries
from kosmolua.manual.topics import topics
from kosmolua.replicate.catalogue import OPERATIONS

HOSTS = {
    "nothing is set up": {},
    "emulated": {"emulate": True},
    "a dry run": {"dry_run": True},
    "all is denied": {"read": "deny", "write": "deny"},
}


@pytest.fixture
def run():
    """Runs a script on a host without a token, and returns the script's results."""

    def execute(source, **options):
        with Host(prepare=False, **options) as host:
            result = host.run(source, name="flow.lua")
        if result.error:
            raise result.error
        return result.results

    return execute


@pytest.mark.parametrize("options", HOSTS.values(), ids=HOSTS)
def test_docs_need_no_permission(options, run):
    """`docs` makes no calls, so no permission is needed."""
    pages, text, found = run(
        'return docs.list(), docs.read("get_prediction"), docs.search("cancel prediction")', **options
    )

    assert len(OPERATIONS) + len(summaries()) + len(topics()) == len(pages)
    assert text.startswith("# get_prediction (read)\n\nShow a prediction")
    assert ("cancel_prediction", "write") == (found[0]["name"], found[0]["kind"])


def test_every_page_that_is_listed_can_be_read(run):
    """Each listed page of an API function, helper or topic can be read as Markdown that begins with its name or
    title."""
    (lines,) = run("""
      local lines = {}
      for i, page in ipairs(docs.list()) do
        lines[i] = { page.name, page.kind, docs.read(page.name):match("^# ([^\\n]+)") }
      end
      return lines
    """)

    for name, kind, head in lines:
        assert head == {"read": f"{name} (read)", "write": f"{name} (write)", "helper": name}.get(kind, head)
    assert {"read", "write", "helper", "page"} == {kind for _, kind, _ in lines}


def test_the_page_of_a_helper_has_its_options(run):
    """A helper's page has the classes that its declaration names, with inherited fields."""
    (text,) = run('return docs.read("run")')

    assert "function workflows.run(ref, input, options) end" in text
    assert "---@class kosmolua.RunOptions: kosmolua.CreateOptions" in text
    assert "---@field cancel_after? string" in text
    assert "kosmolua.WaitOptions" not in text


@pytest.mark.parametrize(
    ("query", "name"),
    [("budgets", "budgets"), ("what may be called", "permissions"), ("parallel", "parallel"), ("seconds", "sleep")],
)
def test_helpers_and_topics_are_found(query, name, run):
    """Helpers and topics are found by name and by summary."""
    (found,) = run(f"return docs.search({query!r})")

    assert name in [page["name"] for page in found]
    assert len(found) <= 10


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        ('docs.read("get_predicton")', "not_found", "unknown page 'get_predicton'; did you mean get_prediction"),
        ('docs.read("paralel")', "not_found", "did you mean parallel"),
        ("docs.read()", "invalid_arguments", "docs.read: expected the name of a page, got nothing (flow.lua:1)"),
        ("docs.search({})", "invalid_arguments", "docs.search: expected a query, got a table (flow.lua:1)"),
        (r'docs.read("\255")', "invalid_arguments", "docs: Expected `str`, got `bytes` - at `$.text`"),
    ],
)
def test_mistakes(call, code, message, run):
    """Each error says what was expected and found, or suggests the nearest name."""
    found, told = run(f"local ok, e = pcall(function() return {call} end) return e.code, e.message")

    assert code == found
    assert message in told
