"""JSON as servers send it. What is not Unicode in an answer does not cost the rest of it."""

from __future__ import annotations

import re
from typing import Any

import msgspec

NOTE = "the answer held text that is not Unicode; it is read as U+FFFD"
_REPLACEMENT = b"\\ufffd"
_BOM = b"\xef\xbb\xbf"
_ENCODED, _LOST = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]"), b"\xef\xbf\xbd"
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
# An escape of a surrogate, behind an even number of backslashes; in its second group where it is half of a pair.
_SURROGATE = re.compile(rb"(?<!\\)((?:\\\\)*)(?:(%b%b)|%b|%b)" % (_HIGH, _LOW, _HIGH, _LOW))


def decode(body: bytes) -> tuple[Any, str]:
    """The value, and a note where something in it had to be replaced. Raises a `ValueError` for what is not JSON, or
    is nested too deeply.
    """
    try:
        return msgspec.json.decode(body), ""
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except msgspec.DecodeError:
        mended = _mended(body)
        if mended == body:
            raise
    try:
        return msgspec.json.decode(mended), NOTE if mended != body.removeprefix(_BOM) else ""
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _mended(body: bytes) -> bytes:
    """The same without a byte order mark, and without surrogates that are no pair, escaped or encoded."""
    text = _ENCODED.sub(_LOST, body.removeprefix(_BOM))
    pieces = _SURROGATE.split(text)
    if len(pieces) == 1:
        return text
    before, slashes, pairs = pieces[::3], pieces[1::3], pieces[2::3]
    mended = [b"%b%b%b" % part for part in zip(before, slashes, (pair or _REPLACEMENT for pair in pairs), strict=False)]
    return b"".join([*mended, before[-1]])
