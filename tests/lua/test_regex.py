"""`regex` has the same matches as Python's `re`, for syntax that both define alike."""

import json
import re
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kosmolua.runtime.state import State

ENGINES = ("luajit21", "lua54")
CHARACTERS = "abAB1_ -\n\té€😀"
SETS = (r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", r"\n", r"\x41")
ASSERTIONS = ("^", "(?m:$)", r"\A", r"\z", r"\b", r"\B")  # in `re`, `$` without "m" also matches before a final newline
OPENINGS = ("(", "(?:", "(?i:", "(?s:", "(?m:", "(?s-i:")
QUANTIFIERS = ("*", "+", "?", "*?", "+?", "??", "{2}", "{0,2}", "{1,3}", "{2,}", "{0,}", "{1,3}?", "{2,}?", "{0}")
FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}


class Pattern(NamedTuple):
    """A pattern and its properties. The two engines may differ only if a loop repeats a part that can be empty."""

    text: str
    can_be_empty: bool = False
    loops_empty: bool = False


def escaped(character):
    return re.sub(r"[\]^\-\[.$*+?(){}|\\]", r"\\\g<0>", character)


def cat(parts):
    return Pattern("".join(part.text for part in parts), all(p.can_be_empty for p in parts), any(p[2] for p in parts))


def alt(parts):
    text = "|".join(part.text for part in parts)
    return Pattern(f"(?:{text})", any(p.can_be_empty for p in parts), any(p[2] for p in parts))


def group(part, opening):
    return part._replace(text=f"{opening}{part.text})")


def loop(part, opening, quantifier):
    can_be_empty = part.can_be_empty or quantifier[0] in "*?" or quantifier.startswith("{0")
    return Pattern(f"{opening}{part.text}){quantifier}", can_be_empty, part.loops_empty or part.can_be_empty)


characters = st.sampled_from(CHARACTERS)
class_items = (
    characters.map(escaped)
    | st.sampled_from(SETS)
    | st.tuples(characters, characters).map(lambda pair: "-".join(escaped(character) for character in sorted(pair)))
)
classes = st.builds("[{}{}]".format, st.sampled_from(["", "^"]), st.lists(class_items, min_size=1).map("".join))
atoms = st.one_of(
    characters.map(escaped).map(Pattern),
    st.sampled_from((".", *SETS)).map(Pattern),
    classes.map(Pattern),
    st.sampled_from(ASSERTIONS).map(lambda text: Pattern(text, can_be_empty=True)),
)
patterns = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map(cat),
        st.lists(inner, min_size=2, max_size=3).map(alt),
        st.builds(group, inner, st.sampled_from(OPENINGS)),
        st.builds(loop, inner, st.sampled_from(OPENINGS), st.sampled_from(QUANTIFIERS)),
    ),
    max_leaves=8,
)
texts = st.text(characters, min_size=1, max_size=12)  # before Python 3.14, `\B` of `re` matches no empty text
flags = st.sampled_from(["", "i", "m", "s", "ims"])


@pytest.fixture(scope="module", params=ENGINES)
def match_all(request):
    """`regex.match_all` in one Lua state: takes text, returns plain data."""
    call = State(engine=request.param).run_module_text(b"""
        local use = ...
        local regex, json = use("regex"), use("json")
        return function(text, pattern, flags) return json.encode(regex.match_all(text, pattern, flags)) end
    """)
    return lambda *arguments: json.loads(call(*(argument.encode() for argument in arguments)))


def compiled(pattern, flags):
    r"""The same in `re`: `\z` is `\Z` there."""
    return re.compile(pattern.replace(r"\z", r"\Z"), re.ASCII | sum(FLAGS[flag] for flag in flags))


def expected_matches(pattern, text):
    """All matches, except for empty ones directly after another match, which `re.finditer` returns and `regex` does
    not."""
    at, last = 0, None
    while at <= len(text) and (match := pattern.search(text, at)):
        if match.end() == match.start() == last:
            at += 1
            last = None
        else:
            yield match
            at = last = match.end()


def described(match, text):
    """A match of `re` in the form of `regex`: positions are in bytes, start at 1, and include the last byte."""
    return {
        "text": match[0],
        "start": len(text[: match.start()].encode()) + 1,
        "stop": len(text[: match.end()].encode()),
        "groups": [False if held is None else held for held in match.groups()],
        "named": {},
    }


@settings(max_examples=1000, deadline=None)
@given(patterns.filter(lambda pattern: not pattern.loops_empty), texts, flags)
def test_matches_are_those_of_re(match_all, pattern, text, flags):
    """`regex` finds the same matches as `re` at the same positions, with the same groups."""
    theirs = compiled(pattern.text, flags)

    assert [described(match, text) for match in expected_matches(theirs, text)] == match_all(text, pattern.text, flags)


@settings(max_examples=100, deadline=None)
@given(patterns.filter(lambda pattern: pattern.loops_empty), texts, flags)
def test_loops_of_empty_parts_match_at_the_same_start(match_all, pattern, text, flags):
    """If a loop repeats a part that can be empty, the first match starts where that of `re` does. Its end may differ,
    since a backtracking engine ends the loop at the first empty match."""
    first = compiled(pattern.text, flags).search(text)

    expected = first and len(text[: first.start()].encode()) + 1
    assert expected == next((match["start"] for match in match_all(text, pattern.text, flags)), None)
