"""The example of ``model``: a command line that runs the model with its required inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from kosmolua.manual.reference import quoted
from kosmolua.replicate.inputs import Input, Inputs, placeholder
from kosmolua.replicate.shape import mapping
from kosmolua.replicate.versions import Reference, Version

_MAX_VALUE = 100  # characters
_HIDDEN = "[REDACTED]"  # what the API shows instead of a secret
_FILES = {"audio": "sound.mp3", "song": "sound.mp3", "speech": "sound.mp3", "voice": "sound.mp3", "video": "film.mp4"}
_PICTURE = "photo.png"


class _File(str):
    """An example path that a reader has to replace with a file."""

    __slots__ = ()


def example(reference: Reference, model: Mapping[str, Any], version: Version, flags: str) -> str:
    """The command line with these flags. Where the model's own example has no suitable value, the command line has a
    placeholder such as ``"<prompt>"``, which is refused before it is sent, or a file such as ``@photo.png``.
    """
    given = mapping(mapping(model.get("default_example")).get("input"))
    work = {field.name: _value(field, given.get(field.name)) for field in version.inputs.fields if field.required}
    name = f"{reference.owner}/{reference.name}"
    model_name = f"{name}:{version.id}" if reference.version else name
    return " ".join(["kosmo run", flags, model_name, *_words(work)])


def _words(work: Mapping[str, Any]) -> list[str]:
    """Inputs as name=value. If `kosmo run` could misread one, all except files are one JSON object instead."""
    rest = {name: value for name, value in work.items() if not isinstance(value, _File)}
    if all(_is_plain(name, value) for name, value in rest.items()):
        return [f"{name}={_word(value)}" for name, value in work.items()]
    return [quoted(_json(rest)), *(f"{name}={_word(value)}" for name, value in work.items() if name not in rest)]


def _word(value: Any) -> str:
    if isinstance(value, _File):
        return f"@{value}"
    return quoted(value) if isinstance(value, str) else _json(value)


def _is_plain(name: str, value: Any) -> bool:
    return isinstance(value, str | int | float) and _is_word(name) and not str(value).startswith("@")


def _is_word(name: str) -> bool:
    return name.isascii() and name.isidentifier()


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _value(field: Input, shown: Any) -> Any:
    """The value in the model's own example if it fits, else a value of the type, else a placeholder."""
    values = (value for value in (shown, *_guesses(field)) if value is not None and _is_short(value))
    fitting = (value for value in values if not Inputs((field,)).wrong({field.name: value}))
    return next(fitting, _placeholder(field))


def _guesses(field: Input) -> Iterator[Any]:
    """Plausible values for the input's type: from an enum or a range, or a boolean."""
    shape = field.shape
    if shape.enum:
        yield shape.enum[0]
    elif "boolean" in shape.kinds:
        yield True
    elif {"integer", "number"} & {*shape.kinds}:
        yield from (shape.minimum, shape.maximum, shape.step, 1, 0)


def _placeholder(field: Input) -> Any:
    word, of_list = placeholder(field.name), "array" in field.shape.kinds
    shape = (of_list and field.shape.items) or field.shape
    if shape.is_file and _is_word(field.name):
        return _File(next((path for part, path in _FILES.items() if part in field.name.lower()), _PICTURE))
    return [word] if of_list else word


def _is_short(value: Any) -> bool:
    """Whether the value is short and meaningful: no null, empty text, secret or unprintable text."""
    text = msgspec.json.encode(value).decode()
    return len(text) <= _MAX_VALUE and _HIDDEN not in text and all(_says_something(one) for one in _leaves(value))


def _says_something(leaf: Any) -> bool:
    if isinstance(leaf, str):
        return bool(leaf) and leaf.replace("\n", "").isprintable()
    return leaf is not None


def _leaves(value: Any) -> Iterator[Any]:
    match value:
        case list():
            for item in value:
                yield from _leaves(item)
        case dict():
            for name, item in value.items():
                yield name
                yield from _leaves(item)
        case _:
            yield value
