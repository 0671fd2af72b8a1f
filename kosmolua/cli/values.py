"""Read text from the command line as values of a model's input, by the shape in the model's schema.

Text stays text where the schema accepts text. A value that does not fit stays text too, so that the check of the input
can name it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from kosmolua.replicate.shape import Shape

_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}
_ANY = Shape()
_BOOLEANS = {"true": True, "false": False}
_MISSING = object()


def read(shape: Shape | None, text: str) -> Any:
    """One value. Without a shape, JSON is read as JSON and other text as text."""
    shape = shape or _ANY
    if shape.enum:
        return _of_enum(shape, text)
    if shape.either and not shape.kinds:
        return _of_either(shape.either, text)
    for kind in ("array", "object", "boolean", "number", "integer"):
        if kind in shape.kinds and (value := _of_kind(kind, shape, text)) is not _MISSING:
            return value
    if "string" in shape.kinds:
        return text
    if text == "null" and shape.nullable:
        return None
    return text if shape.kinds else anything(text)


def read_all(shape: Shape | None, texts: Sequence[str]) -> Any:
    """The value of a name that is given once, or the list of values of a name that is given several times."""
    if len(texts) == 1:
        return read(shape, texts[0])
    return [read(items_of(shape), text) for text in texts]


def anything(text: str) -> Any:
    """A value of unknown type: a JSON list or object, true, false, null, or a number; else text."""
    value = _document(text, (list, dict))
    return untyped(text) if value is _MISSING else value


def untyped(text: str) -> Any:
    """Convert JSON's true, false, null and numbers; anything else is a string."""
    if text in _WORDS:
        return _WORDS[text]
    match = _JSON_NUMBER.fullmatch(text)
    if not match:
        return text
    if match[2] or match[3]:
        number = float(text)
        return number if math.isfinite(number) else text
    return int(text) if len(text) < 19 else text  # noqa: PLR2004 - any 18 digits fit into 64 bits


def is_plain(text: str) -> bool:
    """Whether every schema for a single value reads the text as the same string."""
    if text.strip().lower() in _WORDS or _number(text) is not _MISSING:
        return False
    return not text.lstrip().startswith(("[", "{", '"'))


def items_of(shape: Shape | None) -> Shape | None:
    """The shape of the items of a list, if the shape accepts lists."""
    for one in (shape, *(shape.either if shape else ())):
        if one and "array" in one.kinds:
            return one.items
    return None


def wants_file(shape: Shape | None) -> bool:
    """Whether the value may be a file. Without a schema, it may."""
    if shape is None or not (shape.kinds or shape.either or shape.enum):
        return True
    return shape.is_file or any(map(wants_file, shape.either)) or ("array" in shape.kinds and wants_file(shape.items))


def _of_kind(kind: str, shape: Shape, text: str) -> Any:
    """The text as a value of this type, or `_MISSING` if it does not represent one."""
    match kind:
        case "array":
            found = _document(text, (list,))
            return [read(shape.items, text)] if found is _MISSING and "string" not in shape.kinds else found
        case "object":
            return _document(text, (dict,))
        case "boolean" if "string" not in shape.kinds:
            return _BOOLEANS.get(text.strip().lower(), _MISSING)
        case "integer" | "number" if "string" not in shape.kinds:
            return _number(text)
    return _MISSING


def _number(text: str) -> Any:
    text = text.strip().removeprefix("+")
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) < 4000:  # noqa: PLR2004 - Python converts up to 4300
        return int(text)
    found = untyped(text)
    return found if isinstance(found, float) else _MISSING


def _of_enum(shape: Shape, text: str) -> Any:
    """The value of the enum that the text represents; strings are compared without conversion."""
    if text in shape.enum:
        return text
    found = anything(text)
    if not isinstance(found, bool | int | float):
        return text
    same = (one for one in shape.enum if isinstance(one, bool) == isinstance(found, bool) and one == found)
    return next(same, text)


def _of_either(shapes: Sequence[Shape], text: str) -> Any:
    """The first alternative's value that is not text, unless an alternative accepts any text."""
    texts = any("string" in one.kinds and not one.enum for one in shapes)
    for one in shapes:
        value = read(one, text)
        if not isinstance(value, str) and (not texts or isinstance(value, dict | list)):
            if isinstance(value, list) and texts and not text.lstrip().startswith("["):
                continue
            return value
    return text


def _document(text: str, kinds: tuple[type, ...]) -> Any:
    """The JSON value, or `_MISSING` if its type is not among these."""
    if not text.lstrip().startswith(("[", "{")):
        return _MISSING
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _MISSING
    return found if isinstance(found, kinds) else _MISSING
