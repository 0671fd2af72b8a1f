"""The pages of the list, one run, budgets and workers, all without active content from scripts or models."""

import re
from html.parser import HTMLParser

import httpx
import msgspec
import pytest

from kosmolua.console.layout import ago, duration
from kosmolua.console.pages.runs import filter_of
from kosmolua.console.story import ending
from kosmolua.page.markup import Html, fill, join, text
from kosmolua.worker import overview
from kosmolua.worker.overview import RunFilter

MARKUP = """</pre></a>"><script>document.title = "owned"</script><img src=x onerror='alert(1)'><b>&amp;{}"""
TOKEN = "r8_abcdefghijklmnopqrstuvwxyz"


class Elements(HTMLParser):
    """Collects the elements of a page with their attributes."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def tags(self):
        return {tag for tag, _ in self.found}

    def of(self, tag):
        return [attributes for found, attributes in self.found if found == tag]


@pytest.fixture
def get(served):
    with httpx.Client(base_url=served().url, trust_env=False, timeout=30) as client:
        yield lambda path: client.get(path).text


def names(page):
    return re.findall(r'href="/runs/\w+" class="name">([^<]*)', page)


def answered(database, run, function, arguments, answer, *, state="ok", at=100.0, ended=101.0):
    """Add an answered call to the journal of a run, as a worker does."""
    given, value = (msgspec.msgpack.encode(each) for each in (arguments, answer))
    database.rows(
        "INSERT INTO outcomes (run, task, request, function, account, digest, arguments, at, seen, model, state, value,"
        " ended, sent) SELECT id, 0, (SELECT count(*) FROM outcomes), %s, '', '', %s, began + %s, 0, NULL, %s, %s, "
        "began + %s, true FROM runs WHERE id = %s",
        (function, given, at, state, value, ended, run),
    )


def printed(database, run, *pieces):
    for number, (stream, piece) in enumerate(pieces, 1):
        database.rows("INSERT INTO prints VALUES (%s, %s, %s, %s)", (run, number, stream, piece))


# The list -----------------------------------------------------------------------------------------------------------


def test_without_runs(get):
    """If there are no runs, the page says what to do."""
    page = get("/")

    assert "No runs yet" in page
    assert "kosmo submit flow.lua" in page


def test_states_and_names(get, submitted, database):
    """Runs can be found by state, by id, and by part of the script's name or of the key."""
    first = submitted("/flows/alpha.lua", key="order-1")
    second = submitted("/flows/beta_x.lua")
    submitted("/flows/gamma.lua", at=2e9)
    database.rows("UPDATE runs SET state = 'failed', error = 'script_error: no' WHERE id = %s", (first,))

    assert ["gamma.lua", "beta_x.lua", "alpha.lua"] == names(get("/"))
    assert ["alpha.lua"] == names(get("/?state=failed"))
    assert ["gamma.lua", "beta_x.lua"] == names(get("/?state=live"))
    assert ["alpha.lua"] == names(get("/?q=ORDER-"))
    assert ["beta_x.lua"] == names(get("/?q=a_x"))
    assert ["beta_x.lua"] == names(get(f"/?q={second}"))
    assert [] == names(get("/?q=%25"))
    assert "No such runs" in get("/?state=failed&q=beta")
    assert "script_error: no" in get("/")
    assert ["alpha.lua"] == names(get("/?state=failed&q=alpha&before=nonsense&after=x:y"))


def test_pages_of_the_list(get, submitted):
    """The links to older and newer pages lead through all runs, each exactly once."""
    for number in range(120):
        submitted(f"{number:03}.lua")
    path, seen = "/", []
    pages = []
    while path:
        page = get(path)
        pages.append(names(page))
        seen += pages[-1]
        older = re.search(r'href="([^"]+)">Older<', page)
        path = older[1].replace("&amp;", "&") if older else ""

    assert [f"{number:03}.lua" for number in reversed(range(120))] == seen
    assert [50, 50, 20] == [len(each) for each in pages]
    newer = re.search(r'href="([^"]+)">Newer<', page)[1].replace("&amp;", "&")
    assert pages[1] == names(get(newer))


def test_the_order_of_equal_times(database, submitted):
    """Runs that began at the same time each appear on exactly one page."""
    for _ in range(5):
        submitted()
    database.rows("UPDATE runs SET began = 5")
    first = overview.page(database, RunFilter(), 3)
    last = first.rows[-1]
    second = overview.page(database, RunFilter(before=(last.began, last.id)), 3)
    back = overview.page(database, RunFilter(after=(second.rows[0].began, second.rows[0].id)), 3)

    assert (3, 2) == (len(first.rows), len(second.rows))
    assert 5 == len({row.id for row in first.rows + second.rows})
    assert (first.rows, False, True) == (back.rows, back.newer, back.older)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"state": "x"},
        {"before": "1e400:a"},
        {"before": "nan:a"},
        {"before": "1:"},
        {"before": "1:a b"},
        {"after": ":"},
    ],
)
def test_invalid_queries_are_ignored(query):
    """Invalid parameters in an address are ignored."""
    assert RunFilter() == filter_of(query)


def test_costs_are_listed(get, submitted, database):
    """The list shows the cost of runs with budgets, and the budgets page shows the cost by day and account."""
    run = submitted(account="work")
    database.rows(
        "INSERT INTO charges (at, account, run, kind, held, spent) SELECT extract(epoch FROM now()) + 1, 'work', %s, "
        "'prediction', held, spent FROM (VALUES (2000000000, 1500000000), (250000000, NULL)) v (held, spent)",
        (run,),
    )

    assert '<td role="cell" data-head="Cost">1.75</td>' in get("/")
    assert re.search(r'data-head="Account">work</td><td role="cell" data-head="Spent">1.5</td>', get("/budgets"))
    assert "No budgets" in get("/budgets")


# One run ------------------------------------------------------------------------------------------------------------


def test_the_page_of_a_run(get, submitted, database):
    """The page of a run shows its state, its predictions with inputs and outputs, its calls, and its output."""
    run = submitted("/flows/paint.lua", ["dusk"], key="k1")
    given = {"model_owner": "a", "model_name": "b", "input": {"prompt": "dusk"}}
    job = {"id": "p1", "model": "a/b", "status": "starting", "input": given["input"], "urls": {}}
    ended = {**job, "status": "succeeded", "output": ["https://replicate.delivery/x/out.png"]}
    answered(database, run, "create_model_prediction", given, job, at=1, ended=2)
    answered(database, run, "host.sleep", {"seconds": 1}, None, at=2, ended=3)
    answered(database, run, "host.await", {"id": "p1"}, ended, at=3, ended=9)
    answered(database, run, "get_account", {}, {"code": "not_found", "message": "no account"}, state="error")
    printed(database, run, (1, b"painting\n"), (2, b"noted\n"))
    results = msgspec.msgpack.encode([{"ok": True}])
    database.rows("UPDATE runs SET state = 'done', ended = now(), results = %s WHERE id = %s", (results, run))
    page = get(f"/runs/{run}")

    assert '<h1>paint.lua <b class="state done">done</b></h1>' in page
    assert ["Results", "Timeline", "Predictions and trainings", "Calls", "Printed"] == [
        each for each in re.findall(r"<h2[^>]*>([^<]+)</h2>", page) if each != "Facts"
    ]
    assert '<h3>a/b <b class="state succeeded">succeeded</b></h3>' in page
    assert '<a rel="noreferrer" href="https://replicate.delivery/x/out.png">out.png</a>' in page
    assert "not_found" in page
    assert "no account" in page
    assert 'painting\n<span class="logged">noted\n</span>' in page
    assert "host.sleep" not in page
    assert "1 prediction" in page
    assert "Cancel" not in page


def test_a_run_that_does_not_exist(get):
    """The page for an unknown run says that the run does not exist, and how to list runs."""
    page = get("/runs/missing")

    assert "There is no such run." in page
    assert "kosmo runs list --database" in page


def test_the_page_of_a_long_run_is_bounded(get, submitted, database):
    """The page of a run with many calls, long arguments, results and output is bounded, and names the commands that
    show the rest."""
    run = submitted(args=["a" * 200_000])
    for number in range(350):
        answered(database, run, "get_account", {}, {"username": "x" * 1000}, at=number, ended=number + 0.5)
    printed(database, run, *[(1, b"0123456789" * 5000)] * 3)
    results = msgspec.msgpack.encode(["y" * 500_000])
    database.rows("UPDATE runs SET state = 'done', ended = now(), results = %s WHERE id = %s", (results, run))
    page = get(f"/runs/{run}")

    assert len(page) < 400_000
    assert "and 50 earlier; list them: kosmo runs show" in page
    assert "(too long to show)" in page
    assert "to see them: kosmo runs show" in page
    assert "Only the last part is shown; to see everything: kosmo runs logs" in page


def test_the_end_of_long_output_is_shown():
    """If the output is cut, its end is shown."""
    assert ([(1, "cd"), (2, "ef")], True) == ending([(1, b"abcd"), (2, b"ef")], 4)
    assert ([(1, "ab")], False) == ending([(1, b"ab")], 4)


def test_damaged_rows(get, submitted, database):
    """Rows that cannot be read are reported on the page."""
    run = submitted()
    database.rows(
        "UPDATE runs SET args = '\\xc1', caps = '\\xc1', results = '\\xc1', state = 'done' WHERE id = %s", (run,)
    )
    database.rows(
        "INSERT INTO outcomes (run, task, request, function, account, digest, arguments, at, seen, state, value, ended,"
        " sent) VALUES (%s, 0, 0, 'create_prediction', '', '', '\\xc1', 1, 0, 'ok', '\\xc1', 1e300, true)",
        (run,),
    )

    page = get(f"/runs/{run}")
    assert "(not readable)" in page
    assert "cost unreadable" in page


# Hostile data ----------------------------------------------------------------------------------------------------


def test_pages_have_no_active_content(get, submitted, database):
    """Names, keys, arguments, accounts, errors, outputs and printed text are shown as text on every page."""
    run = submitted(f"/{MARKUP}", [MARKUP], key=MARKUP)
    database.rows("UPDATE runs SET account = %s", (MARKUP,))
    job = {
        "id": MARKUP,
        "model": MARKUP,
        "status": "failed",
        "error": MARKUP,
        "output": MARKUP,
        "input": {MARKUP: MARKUP},
    }
    job["urls"] = {"web": "https://replicate.com/" + MARKUP}
    answered(database, run, "create_prediction", {"version": MARKUP, "input": {MARKUP: MARKUP}}, job)
    answered(database, run, MARKUP, {}, {"code": MARKUP, "message": MARKUP}, state="error")
    answered(database, run, "get_account", {}, {"code": MARKUP, "message": MARKUP}, state=MARKUP)
    links = ["javascript:alert(1)", 'https://a.test/"onclick="x', "data:text/html,<script>alert(1)</script>"]
    answered(database, run, "create_prediction", {}, {"id": "l", "status": "succeeded", "output": links})
    printed(database, run, (1, MARKUP.encode()), (2, MARKUP.encode() + b"\x1b[2J\xff\xe2\x80\xae"))
    results = msgspec.msgpack.encode([MARKUP])
    for state in ("failed", "waiting", MARKUP):
        database.rows(
            "UPDATE runs SET state = %s, error = %s, results = %s WHERE id = %s", (state, MARKUP, results, run)
        )
        for path in ("/", f"/runs/{run}", "/?q=%3Cscript%3E%22%27", "/?state=%3Cscript%3E", "/workers", "/budgets"):
            check_harmless(get(path))
    assert not {"\x1b", "\u202e", "\xff"} & {*get(f"/runs/{run}")}


def check_harmless(page):
    elements = Elements(page)
    assert 1 == page.count("<script")  # the console's own script
    assert not {"img", "iframe", "object", "embed", "style", "base"} & elements.tags()
    for tag, attributes in elements.found:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)
        for name in ("href", "src", "action"):
            target = attributes.get(name) or "/"
            assert target.startswith(("/", "#", "https://replicate.com/", "https://a.test/", "http")), (tag, target)
            assert not target.startswith("//")


def test_no_secrets(get, submitted, database):
    """No page shows text that looks like a token, or values with the name of a secret."""
    run = submitted(TOKEN, [f"--token={TOKEN}", "password=hunter2hunter2"], key=TOKEN)
    given = {"version": "v", "input": {"openai_api_key": "sk-marked", "prompt": f"use {TOKEN}"}}
    answered(
        database,
        run,
        "create_prediction",
        given,
        {"id": "p", "status": "succeeded", "output": TOKEN, "input": given["input"]},
    )
    answered(database, run, "get_account", {}, {"code": "x", "message": f"Bearer {TOKEN[3:]}"}, state="error")
    printed(database, run, (1, f"token {TOKEN}\nwhsec_{TOKEN[3:]}\n".encode()))
    results = msgspec.msgpack.encode([{"password": "hunter2hunter2"}, TOKEN])
    database.rows("UPDATE runs SET state = 'failed', error = %s, results = %s WHERE id = %s", (TOKEN, results, run))
    pages = get("/") + get(f"/runs/{run}")

    for secret in (TOKEN, TOKEN[3:], "hunter2hunter2", "sk-marked"):
        assert secret not in pages
    assert "r8_…" in pages
    assert "[hidden]" in pages


# Markup -------------------------------------------------------------------------------------------------------------


def test_values_are_escaped():
    """Text is escaped and markup is not; only markup can be joined."""
    assert '<a title="&quot;&gt;">&lt;b&gt;</a>' == fill('<a title="{}">{}</a>', '">', "<b>")
    assert "<p><b></b>12</p>" == fill("<p>{}{}{}{}</p>", Html("<b></b>"), 1, None, [Html("2")])
    assert "&lt;b&gt;\\x1b" == text("<b>\x1b")
    with pytest.raises(TypeError):
        join(["<b>"])


def test_templates_are_constants():
    """Templates are constants in the code, so that a value can never become a template."""
    import ast
    from pathlib import Path

    import kosmolua

    root = Path(kosmolua.__file__).parent
    for path in [*root.glob("console/**/*.py"), *root.glob("page/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "fill":
                first = node.args[0]
                parts = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
                assert all(isinstance(part, ast.Constant) or part.id.startswith("_") for part in parts), (
                    path,
                    node.lineno,
                )


def test_times_are_shown_as_people_say_them():
    """Times and durations are shown as people say them."""
    assert ["now", "59 s ago", "1 min ago", "in 2 h", "47 h ago", "2 d ago", "in 6 d"] == [
        ago(each) for each in (0.5, 59.9, 60, -7200, 47.5 * 3600, 48 * 3600, 5 - 6 * 86_400)
    ]
    assert ["0.5 s", "1:01", "1:00:00"] == [duration(each) for each in (0.5, 61, 3600)]
