"""The texts of `:help`, `?name` and `:log`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING

from kosmolua.errors import UsageError
from kosmolua.gate.entry import Entry
from kosmolua.repl.helpers import HELPERS
from kosmolua.replicate.catalogue import OPERATIONS, find
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import heading, table

if TYPE_CHECKING:
    from kosmolua.repl.commands import Command

KEYS = (
    ("Enter", "run the input, or begin a new line if it is incomplete; Alt-Enter always begins a new line"),
    ("Tab", "complete, or select the next candidate"),
    ("Ctrl-R", "search the history; the right arrow accepts the suggestion"),
    ("Ctrl-C", "discard the line, or stop the input and keep the state"),
    ("Ctrl-X Ctrl-E", "edit the input in $EDITOR"),
    ("Ctrl-D", "leave"),
)


def overview(commands: Sequence[Command]) -> str:
    """The overview of the prompt."""
    return "\n".join(
        [
            "Enter Lua: the value of an expression is shown, and locals are kept like globals.",
            "`_` is the last value, `_1`, `_2`, … those of in[1], in[2], …; dump(value) shows a value in full.",
            "",
            table((f":{command.name} {command.usage}".rstrip(), command.about) for command in commands),
            "",
            table(KEYS),
            "",
            "run? or ?run shows a page: of a function, a helper, or a topic such as permissions and errors.",
        ]
    )


def page(name: str, commands: Sequence[Command]) -> str:
    """The page of a function, helper, topic or command. Raises a `UsageError` if there is none."""
    from kosmolua.manual.topics import topics

    short = name.rpartition(".")[2].rstrip("(){}")
    operation = find(short)
    if operation:
        from kosmolua.manual import reference
        from kosmolua.manual.page import shown

        return shown(reference.page(operation))
    if name in topics():
        return topics()[name].rstrip()
    if short in HELPERS:
        from kosmolua.manual import helper_page

        return helper_page.page(short) or f"{heading(short)}  {HELPERS[short]}"
    command = next((each for each in commands if each.name == name.removeprefix(":")), None)
    if command:
        return f"{heading(f':{command.name} {command.usage}'.rstrip())}  {command.about}"
    from kosmolua.replicate.nearest import nearest

    known = [operation.name for operation in OPERATIONS] + [*topics(), *HELPERS, *(each.name for each in commands)]
    near = nearest(short, known, most=3, least=0.5)
    suggestion = f"; did you mean {' or '.join(near)}?" if near else ""
    hint = f"show the model's inputs: kosmo model {quote(name)}" if "/" in name else "list the topics: :help"
    raise UsageError(f"no page about {name!r}{suggestion}", hint=hint)


def log(entries: Sequence[Entry]) -> str:
    """A table of calls, oldest first: time, function, account, decision and outcome."""
    if not entries:
        return "no calls yet"
    return table(
        (
            time.strftime("%H:%M:%S", time.localtime(entry.at)),
            entry.function,
            safe(entry.account),  # the script process chose this name
            f"{entry.decision or '-'} by {entry.by or 'nobody'}",
            f"{entry.outcome}{f' {entry.code}' if entry.code else ''}, {entry.duration_ms:.0f} ms",
        )
        for entry in entries
    )
