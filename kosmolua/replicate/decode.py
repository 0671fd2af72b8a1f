"""Decodes JSON from servers. Invalid Unicode is replaced, so that the rest of the answer is not lost."""

from __future__ import annotations

import re
from typing import Any

import msgspec

NOTE = "the answer contained invalid Unicode, which was replaced by U+FFFD"
MAX_DEPTH = 200  # levels; also the limit for values of a script
_REPLACEMENT = b"\\ufffd"
_BOM = b"\xef\xbb\xbf"
_ENCODED, _LOST = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]"), b"\xef\xbf\xbd"
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
# Escaped surrogates after an even number of backslashes. If the second group matches, it is a pair.
_SURROGATE = re.compile(rb"(?<!\\)((?:\\\\)*)(?:(%b%b)|%b|%b)" % (_HIGH, _LOW, _HIGH, _LOW))


class TooDeepError(ValueError):
    """JSON is nested too deeply."""


def decode(body: bytes) -> tuple[Any, str]:
    """The value, and a note if something was replaced. Raises a `ValueError` for invalid JSON, and a `TooDeepError` for
    more than `MAX_DEPTH` levels.
    """
    try:
        return _decoded(body), ""
    except msgspec.DecodeError:
        mended = _mended(body)
        if mended == body:
            raise
    return _decoded(mended), NOTE if mended != body.removeprefix(_BOM) else ""


def _decoded(body: bytes) -> Any:
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        raise TooDeepError(f"more than {MAX_DEPTH} levels") from None
    if len(body) > 2 * MAX_DEPTH and body.count(b"[") + body.count(b"{") > MAX_DEPTH and _is_deep(value):
        raise TooDeepError(f"more than {MAX_DEPTH} levels")
    return value


def _is_deep(value: Any) -> bool:
    """Whether the value has too many levels. Iterates level by level, since recursion could overflow the stack."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            item
            for each in level
            for item in (each.values() if type(each) is dict else each)
            if type(item) is dict or type(item) is list
        ]
        if not level:
            return False
    return True


def _mended(body: bytes) -> bytes:
    """The text without a byte order mark and without lone surrogates, escaped or encoded."""
    text = _ENCODED.sub(_LOST, body.removeprefix(_BOM))
    pieces = _SURROGATE.split(text)
    if len(pieces) == 1:
        return text
    before, slashes, pairs = pieces[::3], pieces[1::3], pieces[2::3]
    mended = [b"%b%b%b" % part for part in zip(before, slashes, (pair or _REPLACEMENT for pair in pairs), strict=False)]
    return b"".join([*mended, before[-1]])
