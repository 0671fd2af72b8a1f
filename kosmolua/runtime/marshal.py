"""Plain data <-> MessagePack, the host's half. The script's half is lua/msgpack.lua.

``{code: null}`` means an absent field, ``[]`` an empty list: both sides know, so nothing is lost on the way.
Integers that no 64 bits hold are decimal strings in Lua, and so they are made here.
"""

from __future__ import annotations

from typing import Any

import msgspec

_encoder = msgspec.msgpack.Encoder()


def encode(value: Any) -> bytes:
    """MessagePack of plain data: None, bool, int, float, str, bytes, lists, tuples and dicts with text keys."""
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
