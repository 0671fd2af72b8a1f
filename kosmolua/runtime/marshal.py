"""Converts plain data to MessagePack and back, on the host. The counterpart for scripts is lua/msgpack.lua.

On both sides ``{code: null}`` is an absent field, and ``[]`` an empty list. Integers that do not fit in 64 bits become
decimal strings, as in Lua.
"""

from __future__ import annotations

from typing import Any

import msgspec

_encoder = msgspec.msgpack.Encoder()


def encode(value: Any) -> bytes:
    """Encode plain data as MessagePack: None, bool, int, float, str, bytes, lists, tuples and dicts with text keys."""
    try:
        return _encoder.encode(value)
    except OverflowError:
        return _encoder.encode(_without_giants(value))


def _without_giants(value: Any) -> Any:
    match value:
        case int() if not -(2**63) <= value < 2**64:
            return str(value)
        case dict():
            return {key: _without_giants(item) for key, item in value.items()}
        case list() | tuple():
            return [_without_giants(item) for item in value]
    return value


_LENGTHS = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}  # tag -> size of a string's length field in bytes
_COUNTS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}  # tag -> bytes of the item count, values per item
_SIZES = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}


def holds_more(data: bytes | msgspec.Raw, most: int) -> bool:
    """Whether MessagePack holds more than ``most`` values, counting keys. It decodes nothing."""
    data = bytes(data)
    if len(data) <= most:
        return False
    at, left, seen = 0, 1, 0
    while left and at < len(data) and seen + left <= most:
        tag = data[at]
        at, left, seen = at + 1, left - 1, seen + 1
        if tag in _COUNTS:
            width, values = _COUNTS[tag]
            left += values * int.from_bytes(data[at : at + width])
            at += width
        elif tag in _LENGTHS:
            at += _LENGTHS[tag] + int.from_bytes(data[at : at + _LENGTHS[tag]])
        elif 0xA0 <= tag < 0xC0:  # noqa: PLR2004 - tags of the MessagePack format
            at += tag - 0xA0
        elif 0x80 <= tag < 0xA0:  # noqa: PLR2004
            left += (tag & 15) * (2 if tag < 0x90 else 1)  # noqa: PLR2004
        else:
            at += _SIZES.get(tag, 0)
    return seen + left > most
