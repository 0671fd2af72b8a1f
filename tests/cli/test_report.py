"""The page that --report writes, checked in a real browser."""

import base64
import html
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser

import pytest
from recording_server import Answer
from test_terminal import Terminal

from kosmolua.host.report import MAX_IMAGES
from kosmolua.terminal.png import SIGNATURE, read_png

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
in_browser = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CI"), reason="this test needs Chromium, which is not installed"
)
PAINT = """
  local painted = integrations.replicate.create_model_prediction {
    model_owner = "black-forest-labs", model_name = "flux-schnell", prefer = "wait=10",
    input = { prompt = "dusk", seed = 1, num_outputs = 2 },
  }
"""
MARKUP = (
    """</pre></p><script>document.title = "owned"</script><img src="x" onerror='document.title = "owned"'><h1>&amp;"""
)
HOSTILE = """
  local markup = args[1]
  pcall(integrations.replicate.get_prediction, { prediction_id = markup })
  print(pcall(run, "kosmolua/always-fails", { message = markup }))
  integrations.replicate.create_model_prediction {
    model_owner = "meta", model_name = "meta-llama-3-8b-instruct",
    input = { prompt = markup .. "\\27[2J\\226\\128\\174" },
  }
  error(markup)
"""


@pytest.fixture
def browser(tmp_path):
    """Chromium's view of a page: the DOM is returned, and a screenshot is written to the file ``picture`` if that is
    given."""

    def look(page, picture=None, *, size="640,640", dark=False):
        what = [f"--screenshot={picture}", f"--window-size={size}"] if picture else ["--dump-dom"]
        command = [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *what,
            f"--user-data-dir={tmp_path / 'browser'}", f"--blink-settings=preferredColorScheme={int(not dark)}",
            f"file://{tmp_path / page}",
        ]  # fmt: skip
        return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout.decode()

    return look


def texts(dom, element):
    """The text of each element with the given tag, in order."""
    found = re.findall(rf"<{element}\b[^>]*>(.*?)</{element}>", dom, re.DOTALL)
    return [html.unescape(re.sub(r"<[^>]+>", "", text)) for text in found]


class Elements(HTMLParser):
    """Collects the elements of a page and the names of their attributes."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes = set(), set()
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attributes)


def colours(path):
    """The number of pixels of each color in a picture."""
    picture, found = read_png(path.read_bytes()), Counter()
    for row in picture.rows[::2]:
        found.update(row[at : at + 3] for at in range(0, len(row), picture.channels))
    return found


def brightness(found):
    """The brightness of the most frequent color, from 0 to 255."""
    ((background, _),) = found.most_common(1)
    return sum(background) // 3


@in_browser
def test_a_run_in_the_browser(kosmo, browser, tmp_path):
    """The page shows a timeline, inputs, outputs with pictures, and calls, and is readable in light and dark mode."""
    source = PAINT + 'run("meta/meta-llama-3-8b-instruct", { prompt = "rain", max_tokens = 5 })'
    ran = kosmo("lua", "--emulate", "--report", "run.html", "-e", source)
    assert (0, "", "") == ran.seen

    dom = browser("run.html")
    assert ["Timeline", "Predictions and trainings", "Calls"] == texts(dom, "h2")
    models = ["black-forest-labs/flux-schnell", "meta/meta-llama-3-8b-instruct"]
    assert [f"{model} succeeded" for model in models] == texts(dom, "h3")
    assert models == re.findall(r'<a href="#job-\d">([^<]+)</a>', dom)
    assert '{\n  "num_outputs": 2,\n  "prompt": "dusk",\n  "seed": 1\n}' in texts(dom, "pre")
    assert 2 == dom.count('<img src="data:image/png;base64,')
    assert dom.count('<rect class="call"') + 1 == dom.count("<tr>")  # one row for each call, and the header

    page = (tmp_path / "run.html").read_text()
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
    assert [] == re.findall(r"<(?:script|link|iframe|object|embed|form)\b|url\(|@import", page)  # nothing is loaded

    browser("run.html", tmp_path / "light.png")
    pixels = colours(tmp_path / "light.png")
    assert brightness(pixels) > 192
    assert len(pixels) > 1000  # the screenshot contains the painted pictures

    browser("run.html", tmp_path / "dark.png", size="500,120", dark=True)
    assert brightness(colours(tmp_path / "dark.png")) < 64


@in_browser
def test_the_page_has_no_active_content(kosmo, browser):
    """Everything from models and scripts is shown as text: no element or script comes from it, and nothing is
    fetched."""
    ran = kosmo("lua", "--emulate", "--report", "run.html", "-e", HOSTILE, "--", MARKUP)
    assert 1 == ran.status

    dom = browser("run.html")
    assert "eval · kosmolua" == texts(dom, "title")[0]  # the other titles are those of the bars
    elements = Elements(dom)
    assert not {"script", "img", "iframe"} & elements.tags
    assert elements.attributes <= {
        *{
            "aria-hidden",
            "aria-label",
            "aria-labelledby",
            "charset",
            "class",
            "content",
            "height",
            "href",
            "http-equiv",
        },
        *{"id", "lang", "name", "rel", "role", "scope", "tabindex", "width", "x", "y"},
    }
    assert 1 == dom.count("<h1")
    assert 5 == sum(MARKUP in text.replace('\\"', '"') for text in texts(dom, "pre"))  # two inputs, two errors, output
    assert any("\\u001b[2J\\u202e" in text or "\\u001b[2J\\\\u202e" in text for text in texts(dom, "pre"))
    assert not {"\x1b", "\u202e"} & {*dom}
    assert "eval failed" == texts(dom, "h1")[0]


def test_pictures_are_fetched_through_the_gate(kosmo, tmp_path):
    """If reads are denied, the page says why the pictures are missing; links remain."""
    ran = kosmo("lua", "--emulate", "--read", "deny", "--report", "run.html", "-e", PAINT)
    page = (tmp_path / "run.html").read_text()

    assert 0 == ran.status
    assert 2 == page.count("not embedded: download: the policy denies this read")
    assert "<img" not in page
    assert "out-1.png</a>" in page


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("data:image/png;base64,iVBORw0KGgpub3Q=", '<img src="data:image/png;base64,iVBORw0KGgpub3Q="'),
        ("data:image/svg+xml,<svg onload=alert(1)>", "not embedded: not a picture that browsers show"),
        ("data:image/png;base64,!", "not embedded: download: invalid Base64 in the data URL"),
        ("https://elsewhere.test/a.png", "is not an address of Replicate; nothing is fetched from other hosts"),
        ("https://replicate.delivery/x.tar", '<a rel="noreferrer" href="https://replicate.delivery/x.tar">x.tar</a>'),
        ("https://a.test/'onclick='x'.tar", 'href="https://a.test/&#x27;onclick=&#x27;x&#x27;.tar"'),
        ("javascript:alert(1)", "<pre>javascript:alert(1)</pre>"),
    ],
)
def test_outputs_are_shown_as_pictures_links_or_text(server, live, tmp_path, url, shown):
    """Pictures are recognized by content and fetched only from Replicate; other outputs are shown as links or text."""
    server.default = Answer(201, b'{"id": "p", "status": "succeeded", "output": "%s"}' % url.encode())
    source = "integrations.replicate.create_prediction{ version = 'v', input = {} }"
    ran = live("lua", "--write", "allow", "--report", "run.html", "-e", source)

    assert (0, "", "") == ran.seen
    assert shown in (tmp_path / "run.html").read_text()
    assert 1 == len(server.requests)


def test_the_pictures_are_bounded(server, live, tmp_path):
    """A limited number of pictures is embedded, and the page names the others."""
    for number in range(5):
        pictures = [base64.b64encode(SIGNATURE + bytes([number, each])).decode() for each in range(10)]
        output = [f"data:image/png;base64,{picture}" for picture in pictures]
        answer = {"id": str(number), "status": "succeeded", "output": output}
        server.answers.append(Answer(201, json.dumps(answer).encode()))
    source = "for _ = 1, 5 do integrations.replicate.create_prediction{ version = 'v', input = {} } end"
    live("lua", "--write", "allow", "--report", "run.html", "-e", source)
    page = (tmp_path / "run.html").read_text()

    assert MAX_IMAGES == page.count('<img src="data:image/png;base64,')
    assert 50 - MAX_IMAGES == page.count("<p>a data URL</p>")


def test_no_secret_is_in_the_report(server, live, tmp_path):
    """The page and the output of -v contain neither the token, nor the webhook secret, nor text that looks like a
    token."""
    server.answers.append(Answer(200, b'{"key": "whsec_marked"}'))
    server.default = Answer(201, b'{"id": "p", "status": "failed", "error": "is r8_abcdefghijkl yours?"}')
    source = """
      assert(integrations.replicate.get_default_webhook_secret{}.key == "whsec_marked")
      integrations.replicate.create_prediction{ version = 'v', input = { token = "r8_mnopqrstuvwxyz" } }
    """
    ran = live("lua", "--force", "-v", "--report", "run.html", "-e", source)
    page = (tmp_path / "run.html").read_text()

    assert 0 == ran.status
    assert "get_default_webhook_secret" in page
    assert "is r8_… yours?" in page
    for secret in ("whsec_marked", "r8_marked", "r8_abcdefghijkl", "r8_mnopqrstuvwxyz"):
        assert secret not in page + ran.err


def test_a_prediction_whose_end_is_unknown(kosmo, tmp_path):
    """For a prediction whose end is unknown, the page shows the known data."""
    source = """
      replicate.stream("meta/meta-llama-3-8b-instruct", { prompt = "rain" }):text()
      replicate.create("black-forest-labs/flux-schnell", { prompt = "rain" })
    """
    ran = kosmo("lua", "--emulate", "--report", "run.html", "-e", source)
    page = (tmp_path / "run.html").read_text()

    assert 0 == ran.status, ran.err
    assert re.search(r'<h3>meta/meta-llama-3-8b-instruct <b class="state succeeded">', page)
    assert re.search(r'<h3>black-forest-labs/flux-schnell <b class="state starting">', page)
    assert 1 == page.count('<p class="note">none</p>')


def test_a_run_that_is_interrupted(tmp_path):
    """The report of an interrupted run is written, and the progress line is removed."""
    source = "replicate.create('black-forest-labs/flux-schnell', { prompt = 'a' }) sleep(60)"
    screen = Terminal(
        "lua", "--emulate", "--report", "run.html", "-e", source, environment={"TERM": "xterm"}, cwd=tmp_path
    )
    try:
        screen.wait_for(": starting")
        screen.type("\x03")
        assert 130 == screen.finish()
    finally:
        screen.close()

    page = (tmp_path / "run.html").read_text()
    assert '<h1>eval <b class="state failed">' in page
    assert "<h3>black-forest-labs/flux-schnell" in page
    assert "starting" not in screen.screen.rpartition("\x1b[K")[2]


def test_a_report_without_calls(kosmo, tmp_path):
    """A script without calls also gets a report."""
    assert (0, "1\n", "") == kosmo("lua", "--report", "run.html", "-e", "return 1").seen
    assert "<p>The script made no calls.</p>" in (tmp_path / "run.html").read_text()


@pytest.mark.parametrize(
    ("path", "words"),
    [("nowhere/run.html", "directory 'nowhere' not found"), (".", "it is a directory")],
)
def test_a_place_that_cannot_be_written(kosmo, path, words):
    """A path that cannot be written is reported before the script runs."""
    ran = kosmo("lua", "--report", path, "-e", "print('ran')")

    expected = f"error: --report: cannot write {path!r}: {words}\nhint: specify a file, such as --report run.html\n"
    assert (2, "", expected) == ran.seen


@pytest.mark.parametrize("flag", ["--repl", "--explain"])
def test_no_report_without_a_run(kosmo, flag):
    """If nothing runs, no report is written."""
    expected = f"error: --report and {flag} cannot be combined\n"
    assert (2, "", expected) == kosmo("lua", "--report", "run.html", flag, "-e", "return 1").seen


def test_a_full_disk_keeps_the_result(kosmo):
    """If the disk is full, the script's result is still printed."""
    ran = kosmo("lua", "--report", "/dev/full", "-e", "return 1")

    assert (2, "1\n") == (ran.status, ran.out)
    assert "error: --report: cannot write '/dev/full': No space left on device" in ran.err


def test_printed_text_is_in_the_report(kosmo, tmp_path):
    """The page contains the output and logs, also of a failed run, escaped and without a token."""
    source = 'print("<b>first</b>", "r8_abcdefghijklmnop") log("logged") error("last")'
    kosmo("lua", "--emulate", "--report", "run.html", "-e", source)
    page = (tmp_path / "run.html").read_text()

    assert "<h2>Output</h2>\n<pre>&lt;b&gt;first&lt;/b&gt;\tr8_…\nlogged\n</pre>" in page


def test_the_report_has_one_clock(kosmo, tmp_path):
    """No call in the report is later than the end of the run."""
    source = "replicate.get_account() replicate.get_prediction { prediction_id = 'no' }"
    kosmo("lua", "--emulate", "--report", "run.html", "-e", source)
    page = (tmp_path / "run.html").read_text()
    total = float(re.search(r"<span>([\d.]+) s</span>", page)[1])
    calls = [float(each) for each in re.findall(r"<td>([\d.]+) s<", page)]

    assert len(calls) == 2
    assert max(calls) <= total
