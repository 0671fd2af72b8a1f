"""The journal that a session at the prompt is kept in: what `:journal` takes, and the open file."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from kosmolua.errors import JournalError, KosmoError, UsageError
from kosmolua.journal import runs
from kosmolua.journal.journal import Head, Lookup, Recorded

if TYPE_CHECKING:
    from kosmolua.gate.budget import Budget
    from kosmolua.journal.journal import Ticket
    from kosmolua.repl.options import Options
    from kosmolua.runtime.tape import Asked

USAGE = ":journal FILE [--from-here | --adopt ID | --send-again], or :journal off"
OFF = "off"


class Wish(NamedTuple):
    """Which journal, and how: ``cut`` ends it where inputs and file differ, ``lookup`` is for what was cut off."""

    file: str
    cut: bool = False
    lookup: Lookup = Lookup()


def wish(text: str, settling: float) -> Wish:
    """What stands behind `:journal`. Raises a `UsageError` for what it does not take."""
    file, dashes, flags = text.partition(" --")
    words = _words(f"--{flags}") if dashes else []
    match words:
        case []:
            return Wish(_expanded(file), lookup=Lookup(settling=settling))
        case ["--from-here"]:
            return Wish(_expanded(file), cut=True, lookup=Lookup(settling=settling))
        case ["--adopt", identifier]:
            return Wish(_expanded(file), lookup=Lookup(settling=settling, adopt=identifier))
        case ["--send-again"]:
            return Wish(_expanded(file), lookup=Lookup(settling=settling, again=True))
    raise UsageError(f"expected {USAGE}, got {text!r}")


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return [text]


def _expanded(file: str) -> str:
    file = file.strip()
    if not file or file.startswith("--"):
        raise UsageError(f"expected {USAGE}", hint="name the file first: :journal session.journal")
    return os.path.expanduser(file)


class Kept:
    """A journal as inputs use it: a `kosmolua.runtime.tape.InputJournal`. Raises a `JournalError` for a file that is no
    prompt's, or that another process holds.
    """

    def __init__(self, asked: Wish, options: Options, args: Sequence[str], tell: Callable[[str], None]) -> None:
        if options.dry_run:
            raise UsageError("a journal keeps what was done, and --dry-run does nothing", hint="leave one of them out")
        head = Head(script="the prompt", source=b"", args=[*args], emulated=options.emulate, prompt=True)
        self._failure: KosmoError | None = None
        self._options = options
        self._journal = runs.opened(os.environ, asked.file, head, tell, cut=asked.cut, lookup=asked.lookup)

    @property
    def path(self) -> str:
        return self._journal.path

    @property
    def id(self) -> str:
        return str(self._journal.facts["id"])

    @property
    def failure(self) -> KosmoError | None:
        return self._failure

    @failure.setter
    def failure(self, error: KosmoError) -> None:
        """Every input that asks for something is told, until the person has said what is to be done."""
        if ":journal" not in (error.hint or ""):
            before = f"{error.hint}. Then " if error.hint else ""
            error.hint = f"{before}go on with :journal {self.path}, or without it: :journal off"
        self._failure = error

    @property
    def last(self) -> int:
        return self._journal.last

    @property
    def answers(self) -> int:
        return self._journal.answers

    def start(self) -> dict[str, float]:
        return self._journal.start()

    def at(self, order: int) -> tuple[int, str, bytes]:
        return self._journal.at(order)

    def recall(self, asked: Asked, turn: int) -> Recorded | None:
        return self._journal.recall(self._named(asked), turn)

    def begin(self, asked: Asked, seen: int) -> Ticket:
        return self._journal.begin(self._named(asked), seen)

    def finish(self, ticket: Ticket, value: bytes, *, ok: bool) -> None:
        try:
            self._journal.finish(ticket, value, ok=ok)
        except JournalError as error:
            if self._failure is None:
                self.failure = error
            raise

    def differs(self, order: int, asked: Asked | None) -> JournalError | None:
        return self._journal.differs(order, asked and self._named(asked))

    def told(self, upcoming: int) -> str:
        """Where it is, how much it holds, and where the next answer comes from."""
        count = f"{self.answers} call{'s' * (self.answers != 1)}"
        if self.failure:
            return (
                f"{self.path}: {count}; nothing more is kept or sent: {self.failure.message}\nhint: {self.failure.hint}"
            )
        if upcoming:
            given = f", {upcoming - 1} of them given again" if upcoming > 1 else ""
            return f"{self.path}: {count}{given}; the next answer is that to\n  {self._journal.told(upcoming)}"
        return f"{self.path}: {count}; what is asked from here on is asked live, and kept"

    def charge(self, budget: Budget, after: int) -> None:
        """Count what earlier sessions have spent, in the rows after that one. Closed where they cannot be read."""
        try:
            self._journal.restore(budget, after)
        except JournalError:
            self._journal.close()
            raise

    def close(self, error: KosmoError | None) -> int:
        """The session ends, or goes on without it; the error is that of its last input. Gives the last row there is."""
        self._journal.end(error)
        try:
            return self._journal.newest()
        except JournalError:
            return 0
        finally:
            self._journal.close()

    def _named(self, asked: Asked) -> Any:
        """With the account that a call is made on, which `:account` may change."""
        if asked.account or asked.function.startswith("host."):
            return asked
        return msgspec.structs.replace(asked, account=self._options.account)
