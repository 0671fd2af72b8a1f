"""Patterns in schemas match the same texts as with `re`, in linear time."""

import itertools
import re
import time

import pytest

from kosmolua.replicate.pattern import compiled

TEXTS = ["".join(letters) for size in range(5) for letters in itertools.product("abc1-", repeat=size)]


@pytest.mark.parametrize(
    "pattern",
    [
        "^a+b{2,3}$", "a|b1", "(ab)*c", r"^[a-c]{1,3}-\d+$", "^$", "", "a?", "^(a|b)*?c$", "(?:a{2}){2}", "a{0,2}b",
        "^a{2,}$", r"^\w+-\w+$", "[^ab]", r"[\d-]{2}", ".b.", "^(a|bc|)+$", "(^a|b$)", r"\-", "a$|^b",
    ],
)  # fmt: skip
def test_the_same_texts_match(pattern):
    """Groups, alternatives, repetitions, anchors and classes match as in `re`."""
    found = compiled(pattern)

    assert [bool(re.search(pattern, text)) for text in TEXTS] == [found.finds(text) for text in TEXTS]


@pytest.mark.parametrize(
    "pattern",
    ["(?=a)", "(?P<x>a)", r"(a)\1", r"\bx", "a{1000}", "(((a{99}){99}){99})", "*", "(a", "a)", "a**", "a++", "[a",
     "[z-a]", "[[:alpha:]]", "a{3,2}", "(" * 100 + ")" * 100, "a" * 600, r"\p{L}"],
)  # fmt: skip
def test_unsupported_patterns(pattern):
    """An unsupported pattern is not checked."""
    assert compiled(pattern) is None


@pytest.mark.parametrize("pattern", ["^(a*)*$", "^(a|a?a|[ab]+)*c$", "(a+)+b", "^(a?){50}a{50}$"])
def test_matching_takes_linear_time(pattern):
    """`re` takes exponential time here; beyond a limit the text counts as a match."""
    began = time.process_time()
    compiled(pattern).finds("a" * 100_000 + "!")

    assert time.process_time() - began < 2
