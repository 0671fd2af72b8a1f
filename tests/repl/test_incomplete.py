"""The parser decides whether an input needs another line, and how that is indented."""

import pytest

from kosmolua.repl.incomplete import indent, matching, straightened, wants_more
from kosmolua.runtime.interactive import Interpreter, start


@pytest.fixture(scope="module")
def state():
    made = Interpreter(None, None, lambda: start([]))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("x", False), ("x = 1", False), ("x =", True), ("f(", True), ("f{", True), ("{ 1,", True), ("{ 1 }", False),
        ("if x then", True), ("if x then y() end", False), ("function f()", True), ("for i = 1, 2 do", True),
        ("repeat", True), ("return", False), ("return {", True), ("x = [[", True), ("--[[", True), ("-- x", False),
        ("x = 'open", False), ("a b", False), ("end", False), ("1 +", True), ("local", True), ("", False),
        ("x = {\n  a = 1,\n  b = function()", True), ("print('<eof>')", False), ("error(\"near '<eof>'\"", True),
        ("goto missing", False),
    ],
)  # fmt: skip
def test_incomplete_input_gets_another_line(state, text, more):
    """Text that can still become Lua gets another line; valid text and text with an error do not."""
    assert more == wants_more(*state.check(text))


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("x = 1", 0), ("if x then", 2), ("if x then\n  for i = 1, 2 do", 4), ("if x then\nend", 0), ("f(function()", 2),
        ("f(function()\nend)", 0), ("t = {", 2), ("if x then\n  y()\nelse", 2), ("x = 'if then do'", 0),
        ("-- do", 0), ("repeat\n  x()\nuntil true", 0),
    ],
)  # fmt: skip
def test_the_indentation_of_a_new_line(text, width):
    """A new line is indented by two columns for each open level."""
    assert " " * width == indent(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("if x then\n  end", "if x then\nend"),
        ("if x then\n  y()\n  else", "if x then\n  y()\nelse"),
        ("for i = 1, 2 do\n  if x then\n    end", "for i = 1, 2 do\n  if x then\n  end"),
        ("x = {\n  }", "x = {\n}"),
        ("if x then\n  y", "if x then\n  y"),
        ("end", "end"),
    ],
)
def test_a_closing_line_moves_left(text, expected):
    """A closing line has the indentation of the line that it closes."""
    assert expected == straightened(text)


@pytest.mark.parametrize(
    ("text", "cursor", "pair"),
    [
        ("f(x)", 1, (1, 3)), ("f(x)", 4, (3, 1)), ("f({x})", 2, (2, 4)), ("f(')')", 6, (5, 1)), ("f(", 1, None),
        ("f(x]", 1, None), ("x", 0, None),
    ],
)  # fmt: skip
def test_matching_brackets(text, cursor, pair):
    """The pair at the cursor matches; brackets in strings do not count."""
    assert pair == matching(text, cursor)
