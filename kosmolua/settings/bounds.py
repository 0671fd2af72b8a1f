"""Size limits of a configuration file, checked before parsing: it may come from a cloned project."""

from __future__ import annotations

import re
from functools import lru_cache

MAX_SIZE = 1024 * 1024  # bytes
MAX_KEYS = 25_000  # keys, tables and inline tables; enough for 3,000 rules, which take 0.1 s to parse
MAX_DEPTH = 32  # nested brackets and dotted keys
# One alternative for each token that is not a key; quoted text and comments are skipped. Each alternative runs in
# linear time. The pattern is compiled on first use.
_PIECE = r'"""|\'\'\'|"(?:[^"\\\n]|\\.)*"?|\'[^\'\n]*\'?|#[^\n]*|[\[{\]}=.,\n]'
_ESCAPED_OR_END = r'(?s:\\.|""")'


@lru_cache(maxsize=4)  # a host reads these files for each run, and they seldom change
def excess(content: bytes) -> str | None:
    """A description of the limit that a file exceeds; None if it exceeds none."""
    if len(content) > MAX_SIZE:
        return f"it is larger than {MAX_SIZE} bytes"
    keys, depth = _measured(content.decode("utf-8", "replace"))
    if keys > MAX_KEYS:
        return f"it has more than {MAX_KEYS} keys"
    if depth > MAX_DEPTH:
        return f"it is nested more than {MAX_DEPTH} levels deep"
    return None


def _measured(text: str) -> tuple[int, int]:
    """The maximum number of keys in a text, and its nesting depth."""
    keys = open_brackets = dots = deepest = at = 0
    search = re.compile(_PIECE).search
    while token := search(text, at):
        word, at = token[0], token.end()
        match word[0]:
            case '"' | "'" if len(word) == 3 and word in {'"""', "'''"}:  # noqa: PLR2004 - quotes
                at = _end_of(text, word, at)
            case "[" | "{":
                open_brackets += 1
                keys += 1
                dots = 0
            case "]" | "}":
                open_brackets = max(0, open_brackets - 1)
            case ".":
                dots += 1
            case "=":
                keys += 1
                dots = 0
            case "," | "\n":
                dots = 0
        deepest = max(deepest, open_brackets + dots)
        if keys > MAX_KEYS or deepest > MAX_DEPTH:
            break
    return keys, deepest


def _end_of(text: str, quotes: str, at: int) -> int:
    """The end of a multi-line string."""
    if quotes == "'''":
        end = text.find(quotes, at)
        return end + len(quotes) if end >= 0 else len(text)
    for found in re.compile(_ESCAPED_OR_END).finditer(text, at):
        if found[0] == quotes:
            return found.end()
    return len(text)
