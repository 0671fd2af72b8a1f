"""The console in a real browser: signing in, reading and deciding, with and without JavaScript, narrow and dark."""

import os
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from chromium import CHROMIUM, browsing
from waiting import wait_until

import kosmolua
from kosmolua.terminal.png import read_png
from kosmolua.worker import approvals, runs

in_browser = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CI"), reason="this test needs Chromium, which is not installed"
)
SECRET = "alice-has-this-secret"
HEADINGS = "[...document.querySelectorAll('h1,h2,h3,h4')].map((each) => Number(each.tagName[1]))"
UNNAMED = """[...document.querySelectorAll('a,button,input:not([type=hidden]),textarea,summary')].filter((each) =>
  !each.textContent.trim() && !each.getAttribute('aria-label') && !each.labels?.length).length"""
STYLES = [path.read_text() for path in Path(kosmolua.__file__).parent.glob("*/**/*.css")]
READ = [  # colors of text and background
    *(("ink", back) for back in ("page", "card", "lane", "bad-back", "chosen")),
    *(("soft", back) for back in ("page", "card", "lane", "chosen")),
    *(("link", back) for back in ("page", "card", "lane")),
    *(("on", back) for back in ("good", "bad", "off", "busy", "idle")),
    ("on-button", "button"),
    ("danger", "card"),
]


@pytest.fixture
def browser(tmp_path):
    with browsing(tmp_path / "browser") as found:
        yield found


def colours(path):
    picture, found = read_png(path.read_bytes()), Counter()
    for row in picture.rows[::2]:
        found.update(row[at : at + 3] for at in range(0, len(row), picture.channels))
    return found


@in_browser
def test_from_the_login_to_a_decision(browser, served, submitted, asking, database, tmp_path):
    """A person can sign in with the keyboard, open a run, approve its question, and cancel a run."""
    run = submitted("/flows/covers.lua", key="covers-1")
    question = asking(run, arguments='{"input":{"prompt":"dusk"}}')
    file = tmp_path / "secrets"
    file.write_text(f"approve alice {SECRET}\n")
    file.chmod(0o600)
    console = served("--secret-file", str(file))

    browser.open(f"{console.url}/runs/{run}")
    assert "Sign in · kosmolua" == browser.run("document.title")
    assert "secret" == browser.run("document.activeElement.id")
    browser.fill("#secret", SECRET)
    browser.press("Enter", 13)
    wait_until(lambda: browser.run("document.title") == "covers.lua · kosmolua")
    assert "Waiting for approval" in browser.run("document.body.innerText")

    browser.open(console.url)
    assert ["covers.lua"] == browser.run("[...document.querySelectorAll('a.name')].map((each) => each.textContent)")
    browser.click("a[href='/approvals']")
    browser.fill("textarea", "looks fine")
    browser.click("button[value=approved]")
    assert "Approved. The run continues." == browser.run("document.querySelector('[role=status]').textContent")
    found = approvals.find(database, question)
    assert ("approved", "alice", "looks fine") == (found.decision, found.decided_by, found.reason)

    browser.open(f"{console.url}/runs/{run}")
    browser.run("document.querySelector('summary').click()")
    browser.click("details form button")
    assert "canceled" == runs.find(database, run).state
    browser.click(".who button")
    assert "Sign in · kosmolua" == browser.run("document.title")
    assert [] == browser.complaints()


@in_browser
def test_a_page_refreshes_itself(browser, served, submitted, database):
    """With JavaScript a page is updated while nobody types; without it the browser is told to reload the page."""
    run = submitted("/flows/one.lua")
    console = served()
    browser.open(console.url)
    assert "ready" == browser.run("document.querySelector('.state').textContent")
    runs.cancel(database, run)
    wait_until(lambda: browser.run("document.querySelector('.state').textContent") == "canceled", 20, 0.1)

    browser.fill("#q", "typed")
    submitted("/flows/two.lua")
    browser.open(console.url + "/?q=two")
    browser.scripting(on=False)
    browser.open(console.url)
    assert 2 == len(re.findall('class="name"', browser.run("document.body.innerHTML")))
    assert "15" == browser.run("document.querySelector('meta[http-equiv=refresh]').content")
    assert [] == browser.complaints()


@in_browser
def test_narrow_and_dark(browser, served, submitted, asking, database, tmp_path):
    """At 360 pixels nothing overflows, headings are in order, each control has a name, and dark mode is dark."""
    run = submitted(f"/flows/{'a-long-name-of-a-script-' * 4}.lua", ["x" * 300], key="k" * 90)
    asking(run, arguments='{"long":"' + "y" * 600 + '"}')
    database.rows("INSERT INTO prints VALUES (%s, 1, 1, %s)", (run, b"z" * 500))
    console = served()
    for path in ("/", f"/runs/{run}", "/approvals", "/schedules", "/budgets", "/workers", "/none"):
        for width in (360, 1280):
            browser.resize(width)
            browser.open(console.url + path)
            assert width == browser.run("document.documentElement.scrollWidth"), path
        levels = browser.run(HEADINGS)
        assert 1 == levels.count(1) == levels[0], path
        assert all(after <= before + 1 for before, after in pairwise(levels)), (path, levels)
        assert 0 == browser.run(UNNAMED), path
    browser.open(console.url)
    for dark in (False, True):
        browser.look(tmp_path / "look.png", dark=dark)
        ((background, _),) = colours(tmp_path / "look.png").most_common(1)
        assert (sum(background) // 3 < 64) == dark
    assert [] == browser.complaints()


@in_browser
def test_markup_of_a_script_is_shown_as_text(browser, served, submitted, asking):
    """Markup from a script is shown as its source text."""
    markup = "</pre><script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"
    run = submitted(markup, [markup], key=markup)
    asking(run, arguments=markup, why=markup)
    console = served()
    for path in ("/", f"/runs/{run}", "/approvals"):
        browser.open(console.url + path)
        assert "owned" != browser.run("document.title")
        assert 0 == browser.run("document.images.length")
        assert markup.rpartition("/")[2][:20] in browser.run("document.body.innerText")


def luminance(colour):
    digits = colour.lstrip("#")
    digits = "".join(2 * each for each in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrast(scheme):
    """Text has a contrast ratio of at least 4.5 to its background (WCAG 2.2, level AA)."""
    found = {}
    for style in STYLES:
        light, _, dark = style.partition("prefers-color-scheme: dark")
        found |= dict(re.findall(r"--([\w-]+): (#\w+)", (light, dark)[scheme]))
    for front, back in READ:
        bright, dim = sorted((luminance(found[front]), luminance(found[back])), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, (front, back)
