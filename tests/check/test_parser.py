"""The Lua parser: what it accepts, how long it takes, and which scripts it refuses as too deeply nested."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kosmolua.check.checker import check
from kosmolua.check.engine import Engine
from kosmolua.check.lexer import SyntaxProblem, string_value
from kosmolua.check.parser import TooDeepError, parse
from kosmolua.check.program import Program, Source
from kosmolua.check.world import World

MOST = 0.12  # seconds of CPU for 500 lines: thirty times what an idle machine needs, since tests run on busy ones
PIECES = (
    "local a = 1", "a = a", "if a then", "elseif a then", "else", "end", "for i = 1, 2 do", "for k in a do",
    "while a do", "repeat", "until a", "function f()", "local function g(...)", "return", "break", "do", "a()",
    "a.b.c:d{}", "a[1] = {", "}", "(", ")", "'x'", "[[y]]", "..", "#a", "not a", "-- c", "--[[ c ]]", "goto l", "::l::",
    ";", "= 5LL", ", ",
)  # fmt: skip


@pytest.fixture(scope="module")
def engine():
    with Engine() as made:
        yield made


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("\n".join))
def test_any_text_is_parsed_or_refused(text):
    """Parsing any text gives a tree, or a problem at a place in the text."""
    broken = Source("x.lua", text).broken

    assert broken is None or 0 <= broken.at <= len(text)


@pytest.mark.parametrize(
    "source",
    [
        "return 0x1p4, 1e10, 5ULL, 3i, 0xAp-2, .5, 5.",
        "goto done; do local goto_ = 1 end ::done::",
        'return "\\z   \n x\\x41\\u{20AC}\\065\\\n", [==[ ]] ]==]',
        "a.b['c'].d:e 'x' {1; 2, [3] = 4, five = 6} [[y]]",
        "local function f(a, ...) return ... end return f(...), -f() ^ 2 ^ -3, not not f",
        "return function() end, {function() end, n = 1}, (f()), #'x' .. 1 .. 2",
        "#!/usr/bin/env kosmo\nreturn 1",
        "é = 1 return é",
    ],
)
def test_syntax_that_luajit_accepts_is_parsed(source, engine):
    """LuaJIT's number suffixes, escapes, labels and calls without parentheses are parsed."""
    assert engine.refusal("x.lua", source.encode()) is None
    parse(source)


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("x = 1\ny = = 2", 2, "unexpected symbol near '='"),
        ("if x then\nreturn", 2, "'end' expected"),
        ("goto nowhere", 1, "nowhere"),
        ("#!/bin/x\nx = ", 2, "unexpected symbol"),
        ("\ufeffx = ", 1, "unexpected symbol"),
    ],
)
def test_a_syntax_error_is_reported_in_luajits_words(source, line, words, engine):
    """A syntax error has LuaJIT's own line and message, and no code of the text runs."""
    found = engine.refusal("x.lua", source.encode())

    assert found is not None
    assert line == found[0]
    assert words in found[1]


def test_nothing_runs(engine):
    """An endless script is compiled and not run."""
    assert engine.refusal("x.lua", b"while true do end") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"a\n\x41\65\u{e9}"', "a\nAA\xe9"),
        ('"a\\z  \n  b"', "ab"),
        ("[[\nx]]", "x"),
        ("[==[a]]b]==]", "a]]b"),
        (r"'\''", "'"),
    ],
)
def test_string_literals_have_their_value(text, value):
    """String literals with escapes or long brackets have the value that LuaJIT gives them."""
    assert value == string_value(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000, "x = " + "{" * 100_000, "do " * 100_000, "x = " + "-" * 100_000, "x = a" + " .. a" * 100_000,
        "f" + "(f" * 50_000, "x = " + "function() return " * 10_000, "if a then " * 10_000,
    ],
    ids=range(8),
)  # fmt: skip
def test_deeply_nested_scripts_are_refused(text):
    """A deeply nested script cannot exhaust the stack of the parsing process."""
    with pytest.raises((TooDeepError, SyntaxProblem)):
        parse(text)


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, "[=" * 100_000, '"' * 200_000, "--[[" * 50_000, "\\" * 200_000, "a." * 100_000, "0x" * 100_000,
     "'\\z" + " " * 200_000, "--" * 100_000],
    ids=range(9),
)  # fmt: skip
def test_the_lexer_takes_linear_time(text):
    """No text makes the lexer backtrack."""
    began = time.process_time()
    Source("x", text)

    assert time.process_time() - began < 2


def test_500_lines_take_little_time():
    """Parsing and checking 500 lines takes a few milliseconds. The fastest of three runs counts, since other processes
    slow runs down."""
    block = """do
  local prompts = { "a barn", "a mill", ("a %s in %s"):format("bridge", "fog") }
  local images = parallel(prompts, function(prompt, index)
    if index > 2 and prompt ~= "" then return nil, "skipped " .. index end
    return run("black-forest-labs/flux-schnell", { prompt = prompt, seed = index }, { timeout = 60 })[1]
  end, { limit = 2, on_error = "collect" })
  for index, image in ipairs(images) do
    print(index, image.ok and image.value.url:match("[^/]+$") or tostring(image.error), #prompts * 2 + 1)
  end
end
"""
    text = block * 50
    check(Program(Source("warm", block)), World())
    times = []
    for _ in range(3):
        began = time.process_time()
        program = Program(Source("flow.lua", text))
        found = check(program, World())
        times.append(time.process_time() - began)

    assert (500, [], None) == (text.count("\n"), found, program.sources[0].broken)
    assert min(times) < MOST
