"""The file format of `:save`, which `:load` reads: one input after another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_MARK = re.compile(r"-- in\[[0-9]+\]( failed)?")
_FAILED = "--|"  # prefix of the lines of a failed input, so that the file is still valid Lua


class Input(NamedTuple):
    """An input and its number."""

    number: int
    text: str
    failed: bool = False


class Part(NamedTuple):
    """An input in a file, padded with blank lines to keep its line numbers; ``failed`` says whether it had failed
    before `:save`.
    """

    text: str
    failed: bool = False


def written(inputs: Iterable[Input]) -> str:
    """The content of a file with these inputs. Before each input is a comment; failed inputs are commented out."""
    return "".join(f"-- in[{each.number}]{' failed' * each.failed}\n{_body(each)}\n" for each in inputs)


def parts(source: str) -> Sequence[Part]:
    """The inputs in a file that `:save` wrote; any other file is one input."""
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
    return "\n".join(f"{_FAILED} {line}".rstrip() for line in text.split("\n")) if one.failed else text


def _plain(line: str, *, failed: bool) -> str:
    return line.removeprefix(_FAILED).removeprefix(" ") if failed else line
