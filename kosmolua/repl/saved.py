"""Inputs in a file, as `:save` writes them and `:load` enters them again, one by one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_MARK = re.compile(r"-- in\[[0-9]+\]( failed)?")
_STRUCK = "--|"  # before the lines of an input that failed, which the file is no Lua text of


class Input(NamedTuple):
    """What was entered, and as which of all."""

    number: int
    text: str
    failed: bool = False


class Part(NamedTuple):
    """An input in a file, each of its lines where it is there; ``failed`` is one that failed when it was entered."""

    text: str
    failed: bool = False


def written(inputs: Iterable[Input]) -> str:
    """The file: a comment before each input, and those that failed as comments."""
    return "".join(f"-- in[{each.number}]{' failed' * each.failed}\n{_body(each)}\n" for each in inputs)


def parts(source: str) -> Sequence[Part]:
    """What such a file holds; any other is one input."""
    lines = source.split("\n")
    marks = [(at, mark[1] is not None) for at, line in enumerate(lines) if (mark := _MARK.fullmatch(line.rstrip()))]
    if not marks or marks[0][0]:
        return [Part(source)]
    ends = [*(at for at, _ in marks[1:]), len(lines)]
    found = [
        Part("\n" * (at + 1) + "\n".join(_plain(line, failed=failed) for line in lines[at + 1 : end]).rstrip(), failed)
        for (at, failed), end in zip(marks, ends, strict=True)
    ]
    return [each for each in found if each.text.strip()]


def _body(one: Input) -> str:
    text = one.text.strip("\n").removeprefix("=").rstrip()
    return "\n".join(f"{_STRUCK} {line}".rstrip() for line in text.split("\n")) if one.failed else text


def _plain(line: str, *, failed: bool) -> str:
    return line.removeprefix(_STRUCK).removeprefix(" ") if failed else line
