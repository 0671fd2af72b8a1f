"""Candidates for the words of `kosmo run`: models that were run before, and the inputs of one. It sends no request."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from kosmolua.cli.options import Options
from kosmolua.cli.output import to_json, write_text
from kosmolua.cli.versions import kept
from kosmolua.replicate.inputs import Input
from kosmolua.replicate.shape import Shape
from kosmolua.settings import recent

EXIT_OTHER = 1  # the tables of the completion script provide these candidates


def run(words: Sequence[str], valued: Sequence[str]) -> int:
    """Print the candidates for the last word. ``valued`` are the flags that take a value."""
    *before, current = words or [""]
    if current.startswith("-") or (before and before[-1] in valued):
        return EXIT_OTHER
    emulate, given = "--emulate" in before, [*_positional(before, valued)]
    found = _inputs(given, current, emulate=emulate) if given else _models(emulate=emulate)
    write_text("".join(f"{word}\n" for word in found if word.startswith(current) and _is_word(word)))
    return 0


def _positional(words: Sequence[str], valued: Sequence[str]) -> Iterator[str]:
    skip = False
    for word in words:
        if not skip and not word.startswith("-"):
            yield word
        skip = not skip and word in valued


def _is_word(text: str) -> bool:
    """Whether a shell reads the text as one word without quotes."""
    return text.isprintable() and not set(text) & set(" '\"\\$`;&|<>(){}[]*?!#~")


def _models(*, emulate: bool) -> Iterator[str]:
    if emulate:
        from kosmolua.emulator.genesis import MODELS

        yield from (one.slug for one in MODELS)
        return
    yield from (one.model for one in recent.read(os.environ))


def _inputs(given: Sequence[str], current: str, *, emulate: bool) -> Iterator[str]:
    fields = {one.name: one for one in _fields(given[0], emulate=emulate)}
    name, equals, _ = current.partition("=")
    if equals:
        yield from (f"{name}={value}" for value in _values(fields.get(name)))
        return
    used = {word.partition("=")[0] for word in given[1:]}
    yield from (f"{name}=" for name, one in fields.items() if name not in used or "array" in one.shape.kinds)


def _fields(model: str, *, emulate: bool) -> tuple[Input, ...]:
    """The inputs of the model, if its schema is on this machine."""
    options = Options()
    options.emulate = emulate
    version = next((one.version for one in recent.read(os.environ) if one.model == model), "")
    reference = model if emulate or ":" in model else f"{model}:{version}"
    found = kept(options)(reference) if emulate or ":" in model or version else None
    return found.inputs.fields if found else ()


def _values(field: Input | None) -> Iterator[str]:
    """The values of an enum, true and false, or the default."""
    shape = field.shape if field else Shape()
    values = [*shape.enum] or ([True, False] if "boolean" in shape.kinds else [shape.default])
    for value in values:
        if isinstance(value, str | int | float):
            yield value if isinstance(value, str) else to_json(value, indent=False)
