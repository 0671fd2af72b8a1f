"""Values are shown to people from previews of a state."""

import time

import pytest
from waiting import scaled

from kosmolua.repl.render import images, render
from kosmolua.runtime.interactive import Interpreter, start


@pytest.fixture(scope="module")
def state():
    made = Interpreter(None, None, lambda: start([]))
    yield made
    made.close()


@pytest.fixture
def shown(state):
    """The rendered value of an expression."""

    def show(source, width=80):
        found = state.evaluate(source)
        assert found.error is None, found.error
        return render(found.values[0], width)

    return show


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("nil", "nil"),
        ("true", "true"),
        ("42", "42"),
        ("1.5", "1.5"),
        ("0.1 + 0.2", "0.3"),
        ("1e300", "1e+300"),
        ("1/0", "inf"),
        ("'text'", '"text"'),
        ("'a\\n\"b\"\\27[2J'", '"a\\n\\"b\\"\\x1b[2J"'),
        ("'\\255'", '"\ufffd"'),
        ("{}", "{}"),
        ("json.array{}", "[]"),
        ("{ 1, 2, 3 }", "{ 1, 2, 3 }"),
        ("{ b = 2, a = 1, 10 }", "{ 10, a = 1, b = 2 }"),
        ("{ ['end'] = 1, ['a b'] = 2, [7] = 3 }", '{ [7] = 3, ["a b"] = 2, ["end"] = 1 }'),
        ("{ { {} } }", "{ { {} } }"),
        ("print", "function"),
        ("json.null", "null"),
    ],
)
def test_values_look_like_lua(shown, source, expected):
    """A value is on one line if it fits, with sorted names and escaped control characters."""
    assert expected == shown(source)


def test_a_wide_table_is_broken(shown):
    """A wide table has one entry per line; entries that fit remain on one line."""
    source = "{ first = ('a'):rep(30), second = { 1, 2, 3 }, third = { x = ('b'):rep(30), y = ('c'):rep(30) } }"

    assert (
        "{\n"
        f'  first = "{"a" * 30}",\n'
        "  second = { 1, 2, 3 },\n"
        "  third = {\n"
        f'    x = "{"b" * 30}",\n'
        f'    y = "{"c" * 30}",\n'
        "  },\n"
        "}"
    ) == shown(source, 60)
    assert "\n" not in shown(source, 200)


def test_short_items_share_lines(shown):
    """A line has as many items as fit, in order, such as the tokens of a language model."""
    words = "(function() local t = {} for i = 1, 12 do t[i] = 'word ' .. i end t[13] = ('x'):rep(30) return t end)()"

    assert (
        "{\n"
        '  "word 1", "word 2", "word 3", "word 4",\n'
        '  "word 5", "word 6", "word 7", "word 8",\n'
        '  "word 9", "word 10", "word 11",\n'
        '  "word 12",\n'
        f'  "{"x" * 30}",\n'
        "}"
    ) == shown(words, 42)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(shown, width):
    """Only a single word may be wider than the terminal."""
    text = shown(
        "(function() local t = {} for i = 1, 30 do t[i] = { id = i, name = 'name ' .. i } end return t end)()", width
    )

    assert max(map(len, text.split("\n"))) <= width


def test_large_values_are_truncated(shown):
    """Entries, depth, strings and lines are limited, and the rest is counted."""
    long = "(function() local t = {} for i = 1, 1000 do t[i] = i end return t end)()"
    deep = "(function() local t = {} local u = t for i = 1, 50 do u.x = {} u = u.x end return t end)()"

    assert "… 900 more" in shown(long, 10_000)
    assert "more lines; dump(_)" in shown(long, 4)
    assert shown("('x'):rep(1e6)").endswith("… (1,000,000 bytes)")
    assert shown(deep).count("x =") < 10


PREDICTION = """{ id = "abc", status = "succeeded", model = "owner/name", version = "v", urls = { get = "u" },
  input = { prompt = "a fox" }, output = { "https://replicate.delivery/x/out.png" }, logs = ("l"):rep(5000),
  metrics = { predict_time = 1.234 } }"""


def test_a_prediction(shown):
    """A prediction is shown with id, status, time, model, output and input."""
    assert (
        "prediction abc  succeeded in 1.23 s  owner/name\n"
        '  output = { "https://replicate.delivery/x/out.png" }\n'
        '  input = { prompt = "a fox" }'
    ) == shown(PREDICTION)


def test_a_model(shown):
    """A model is shown with its name and main facts."""
    source = """{ owner = "o", name = "n", visibility = "public", url = "u", run_count = 1234567,
      description = "Paints.", latest_version = { id = "abc", created_at = "2026-01-02T03:04:05Z" } }"""

    assert "model o/n  public, 1,234,567 runs\n  Paints.\n  latest version abc, 2026-01-02" == shown(source)


def test_a_page(shown):
    """A page has one line for each object, and says whether there are more."""
    assert (
        "page of 2; more pages: cursor in `next`\n"
        "   1  prediction abc  succeeded in 1.23 s  owner/name\n"
        "   2  { id = 2 }"
    ) == shown(f"{{ next = 'https://x?cursor=1', results = {{ {PREDICTION}, {{ id = 2 }} }} }}")


def test_control_characters_from_a_script_are_escaped(shown):
    """No value reaches the terminal as a control character, in any form."""
    for source in (
        '{ id = "\\27[2J", status = "\\27[2J", model = "\\27", version = "v", urls = {}, input = {}, error = "\\27" }',
        '{ owner = "\\27[2J", name = "\\27", visibility = "\\27", url = "u", description = "\\27" }',
        '{ results = { "\\27[2J" } }',
        '{ ["\\27[2J"] = setmetatable({}, { __tostring = function() return "\\27[2J" end }) }',
    ):
        assert "\x1b" not in shown(source)


@pytest.mark.parametrize(
    "preview", [["table", 1, 2, 3], ["table", True, 5, [1]], ["what"], [[[]]], {"a": 1}, ["text", b"x"], ["other", 1]]
)
def test_invalid_previews_are_shown(preview):
    """A preview with any content from the script process is shown without an error."""
    assert render(preview)


def test_a_result_of_ten_megabytes(state):
    """The beginning of a large result appears at once."""
    state.evaluate("big = {} for i = 1, 100000 do big[i] = { id = i, text = ('x'):rep(80) .. i } end")
    began = time.perf_counter()
    text = render(state.evaluate("big").values[0], 80)

    assert time.perf_counter() - began < scaled(0.2)
    assert len(text) < 10_000


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (PREDICTION, ["https://replicate.delivery/x/out.png"]),
        ('"https://x/a.JPG?sig=1"', ["https://x/a.JPG?sig=1"]),
        ('{ "data:image/png;base64,AAAA", "https://x/a.txt", "https://x/a.webp" }',
         ["data:image/png;base64,AAAA", "https://x/a.webp"]),
        ("{ 1, 2 }", []),
        ('{ status = "succeeded", output = "https://x/o.png", input = { image = "https://x/i.png" } }',
         ["https://x/o.png"]),
    ],
)  # fmt: skip
def test_images_in_a_value(state, source, expected):
    """The images in a prediction are those of its outputs; in other values, all images."""
    assert expected == images(state.evaluate(source).values[0])
