"""What `:help`, `?name` and `:log` show."""

from __future__ import annotations

import time
from collections.abc import Sequence

from kosmolua.errors import UsageError
from kosmolua.gate.entry import Entry
from kosmolua.repl.commands import COMMANDS
from kosmolua.repl.completion import HELPERS
from kosmolua.replicate.catalogue import OPERATIONS, find
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import heading, table

KEYS = (
    ("Enter", "run the input, or begin another line where it is not whole; Alt-Enter begins one in any case"),
    ("Tab", "complete; between the words of a line the next candidate"),
    ("Ctrl-R", "search the history; the right arrow takes what is suggested"),
    ("Ctrl-C", "give up the line, or stop what runs and keep the state"),
    ("Ctrl-X Ctrl-E", "write the input in $EDITOR"),
    ("Ctrl-D", "leave"),
)


def overview() -> str:
    """What can be done here."""
    return "\n".join(
        [
            "Lua, one input after another: an expression shows its value, locals last as globals do.",
            "`_` is the last value, `_1`, `_2`, … that of in[1], in[2], …; dump(value) shows all of one.",
            "",
            table((f":{command.name} {command.usage}".rstrip(), command.about) for command in COMMANDS),
            "",
            table(KEYS),
            "",
            "?create_prediction tells of a function; ?permissions, ?errors and others of a topic.",
        ]
    )


def page(name: str) -> str:
    """What there is to know of a function, a helper, a topic or a command. Raises a `UsageError`."""
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
        from kosmolua.manual import stubs

        declared = stubs.helper(short)
        return f"{heading(short)}\n\n{declared}" if declared else f"{heading(short)}  {HELPERS[short]}"
    command = next((each for each in COMMANDS if each.name == name.removeprefix(":")), None)
    if command:
        return f"{heading(f':{command.name} {command.usage}'.rstrip())}  {command.about}"
    from difflib import get_close_matches

    known = [operation.name for operation in OPERATIONS] + [*topics(), *HELPERS, *(each.name for each in COMMANDS)]
    near = get_close_matches(short, known, n=3, cutoff=0.5)
    said = f"; did you mean {' or '.join(near)}?" if near else ""
    hint = f"what a model takes: kosmo model {name}" if "/" in name else "see what there is: :help"
    raise UsageError(f"there is no page on {name!r}{said}", hint=hint)


def log(entries: Sequence[Entry]) -> str:
    """Calls, oldest first: when, what, on whose account, what was decided and what came of it."""
    if not entries:
        return "no call was made yet"
    return table(
        (
            time.strftime("%H:%M:%S", time.localtime(entry.at)),
            entry.function,
            safe(entry.account),  # as a script's process named it
            f"{entry.decision or '-'} by {entry.by or 'nobody'}",
            f"{entry.outcome}{f' {entry.code}' if entry.code else ''}, {entry.duration_ms:.0f} ms",
        )
        for entry in entries
    )
