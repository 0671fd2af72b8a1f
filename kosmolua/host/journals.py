"""Opens the journal of a run, and closes it after the run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from kosmolua.errors import OptionError, UsageError
from kosmolua.host import needed
from kosmolua.host.explained import explained
from kosmolua.host.options import HostOptions
from kosmolua.host.run_options import named_of
from kosmolua.host.runs import Runs
from kosmolua.runtime import descriptors

if TYPE_CHECKING:
    from kosmolua.journal.journal import Journal


@contextmanager
def opened(
    options: HostOptions,
    runs: Runs,
    tell: Callable[[str], None],
    journal: Any,
    *,
    fresh: bool,
    script: tuple[str, bytes, Sequence[str] | Mapping[str, Any]],
    account: str | None,
) -> Iterator[Journal | None]:
    """The journal of that name, or None without a name. ``script`` has the script's name, text and arguments."""
    if fresh and journal is None:
        raise UsageError("fresh=True requires a journal", hint="pass journal=NAME too")
    if journal is None:
        yield None
        return
    if not isinstance(journal, str):
        raise OptionError.of("journal", "a name or a path as a string", journal)
    name, text, args = script
    named = named_of(args) if isinstance(args, Mapping) else None
    from kosmolua.journal import runs as runs_
    from kosmolua.journal.records import Head

    head = Head(
        script=name,
        source=text,
        args=[*args] if named is None else [],
        named=named,
        account=account or options.account,
        emulated=options.emulate,
    )
    fresh_start = runs_.FreshStart("fresh=True", wanted=fresh)
    with ExitStack() as stack:
        with explained("opening the journal"):
            needed.load_in_thread(emulate=options.emulate)
            stack.enter_context(descriptors.explained(stack.enter_context(runs.expecting())))
            found = runs_.begin(os.environ, journal, head, tell, fresh_start)
            stack.callback(_close, found)
        yield found


def _close(journal: Journal) -> None:
    with explained("closing the journal"):
        journal.close()
