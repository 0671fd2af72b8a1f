"""The lexer splits Lua text into tokens, whether complete or not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kosmolua.repl.lexer import tokens


def kinds(text):
    return [(token.kind, token.text) for token in tokens(text) if token.kind != "space"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("local x", [("keyword", "local"), ("name", "x")]),
        ("'it\\'s'", [("string", "'it\\'s'")]),
        ('"a\\\\" y', [("string", '"a\\\\"'), ("name", "y")]),
        ("[==[ a ]] ]==] b", [("string", "[==[ a ]] ]==]"), ("name", "b")]),
        ("--[[ c\n]] x", [("comment", "--[[ c\n]]"), ("name", "x")]),
        ("-- c\nx", [("comment", "-- c"), ("name", "x")]),
        ("0x1F 1.5e3 3..4", [("number", "0x1F"), ("number", "1.5e3"), ("number", "3."), ("number", ".4")]),
        ("a..b ... ~=", [("name", "a"), ("operator", ".."), ("name", "b"), ("operator", "..."), ("operator", "~=")]),
        ("'open\nx", [("string", "'open"), ("name", "x")]),
        ("a @", [("name", "a"), ("error", "@")]),
    ],
)
def test_kinds_of_tokens(text, expected):
    """Each token has Lua's kind."""
    assert expected == kinds(text)


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        ("'a", True), ("'a'", False), ("'a\\'", True), ("'a\\\\'", False), ('"', True), ("[[a", True), ("[[a]]", False),
        ("[=[a]]", True), ("-- a", True), ("--[[ a", True), ("--[[ a ]]", False), ("''", False),
    ],
)  # fmt: skip
def test_unfinished_strings_and_comments_are_known(text, is_open):
    """A string or comment records whether its end is missing."""
    (token,) = tokens(text)

    assert is_open == token.open


@given(st.text(alphabet="ab1 .=[]{}()\"'\\-\n", max_size=60))
def test_tokens_join_to_the_source(text):
    """The tokens of any text join to that text, each at its place."""
    found = list(tokens(text))

    assert text == "".join(token.text for token in found)
    assert all(text[token.start : token.end] == token.text for token in found)
