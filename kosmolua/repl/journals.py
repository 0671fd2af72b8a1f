"""Journals of a session at the prompt: the arguments of `:journal`, the open file, and moving between files."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from kosmolua.errors import JournalError, KosmoError, UsageError
from kosmolua.journal import runs
from kosmolua.journal.journal import Head, Lookup, Recorded
from kosmolua.terminal.safe import safe

if TYPE_CHECKING:
    from kosmolua.gate.budget import Budget
    from kosmolua.journal.journal import Ticket
    from kosmolua.repl.calls import Calls
    from kosmolua.repl.options import Options
    from kosmolua.repl.screen import Screen
    from kosmolua.runtime.interactive import Interpreter
    from kosmolua.runtime.tape import Asked

USAGE = ":journal FILE [--from-here | --adopt ID | --send-again | --fresh], or :journal off"
OFF = "off"


class JournalOptions(NamedTuple):
    """Which file, and how: ``cut`` discards the rest where inputs and file diverge; ``lookup``: interrupted calls;
    ``fresh`` begins an empty one and keeps the old one by date.
    """

    file: str
    cut: bool = False
    lookup: Lookup = Lookup()
    fresh: bool = False


def parsed(text: str, settling: float) -> JournalOptions:
    """The argument of `:journal`. Raises a `UsageError` for an invalid one."""
    file, dashes, flags = text.partition(" --")
    words = _words(f"--{flags}") if dashes else []
    match words:
        case []:
            return JournalOptions(_expanded(file), lookup=Lookup(settling=settling))
        case ["--from-here"]:
            return JournalOptions(_expanded(file), cut=True, lookup=Lookup(settling=settling))
        case ["--fresh"]:
            return JournalOptions(_expanded(file), lookup=Lookup(settling=settling), fresh=True)
        case ["--adopt", identifier]:
            return JournalOptions(_expanded(file), lookup=Lookup(settling=settling, adopt=identifier))
        case ["--send-again"]:
            return JournalOptions(_expanded(file), lookup=Lookup(settling=settling, again=True))
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


class PromptJournal:
    """A journal as inputs use it: a `kosmolua.runtime.tape.InputJournal`. Raises a `JournalError` for a file that was
    not made by a prompt, or that another process holds.
    """

    def __init__(
        self, chosen: JournalOptions, options: Options, args: Sequence[str], tell: Callable[[str], None]
    ) -> None:
        if options.dry_run:
            raise UsageError("a journal keeps what was done, and --dry-run does nothing", hint="leave one of them out")
        if chosen.fresh:
            runs.retire(os.environ, runs.path_of(os.environ, chosen.file), tell)
        head = Head(script="the prompt", source=b"", args=[*args], emulated=options.emulate, prompt=True)
        self._failure: KosmoError | None = None
        self._options = options
        self._journal = runs.opened(os.environ, chosen.file, head, tell, cut=chosen.cut, lookup=chosen.lookup)

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

    def summary(self, upcoming: int) -> str:
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

    def predictions(self) -> Iterator[tuple[str, Any]]:
        return self._journal.predictions()

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


class Journals:
    """Which journal the inputs of a session use: none, one, or another from here on."""

    def __init__(
        self, interpreter: Interpreter, calls: Calls, screen: Screen, *, args: Sequence[str], settling: float
    ) -> None:
        self.current: PromptJournal | None = None
        self.ended: KosmoError | None = None  # how the last input ended that the journal knows
        self._interpreter = interpreter
        self._calls = calls
        self._screen = screen
        self._args, self._settling = args, settling
        self._stop_keeping: Callable[[], None] = lambda: None
        self._counted: dict[str, int] = {}  # journal -> the last row whose call the budget knows

    def command(self, text: str) -> None:
        """Carry out `:journal` with that argument."""
        if text == OFF:
            if self.current is None:
                raise UsageError("no journal is open", hint="Open one: :journal FILE")
            self._check_quiet(self.current)
            self._screen.show(f"{self.current.path} is closed; calls are no longer recorded")
            self._let_go(self.current, self.ended)
        elif text:
            self.use(parsed(text, self._settling))
        elif self.current:
            self._show(self.current)
        else:
            self._screen.show("no journal is open; open one: :journal FILE")

    def use(self, chosen: JournalOptions) -> None:
        """Record every call in that journal from the next input on. One that is open already continues."""
        before, budget = self.current, self._calls.session().budget
        if before:
            self._check_quiet(before)
        same = before is not None and before.path == runs.path_of(os.environ, chosen.file)
        if before and same:
            self._let_go(before, None)
        try:
            opened = PromptJournal(chosen, self._calls.options, self._args, self._screen.show)
            opened.charge(budget, self._counted.get(opened.id, 0))
        except KosmoError:
            if same:
                self._screen.show_error(f"{chosen.file} is closed; calls are no longer recorded")
            raise
        if before and not same:
            self._let_go(before, self.ended)
        self.current, self.ended = opened, None
        self._calls.reserve(opened.path, "the journal of this session")
        self._stop_keeping = self._calls.keep(opened.path, opened.predictions(), self._screen.show_error)
        self._interpreter.use_journal(opened, restart=chosen.fresh or not same)
        self._show(opened)

    def leave_for_other_api(self) -> None:
        """Close the journal: from here on calls go elsewhere."""
        if self.current:
            self._check_quiet(self.current)
            self._screen.show_error(f"{self.current.path} is closed: its calls went elsewhere; nothing is recorded")
            self._let_go(self.current, self.ended)

    def forget_counts(self) -> None:
        """The budget starts anew, and knows no row of any journal."""
        self._counted.clear()

    def close(self) -> None:
        if self.current:
            if self.current.failure:
                self._screen.show_error(f"kosmo: {self.current.failure.message}")
            self._stop_keeping()
            self.current.close(self.ended)

    def _show(self, journal: PromptJournal) -> None:
        self._screen.show(safe(journal.summary(self._interpreter.upcoming)))  # a script chose the names in it

    def _check_quiet(self, journal: PromptJournal) -> None:
        call = self._calls.under_way()
        if call:
            raise UsageError(
                f"{call[0]} is still in flight, and its answer belongs in {journal.path}",
                hint="Wait for it, then try again",
            )

    def _let_go(self, journal: PromptJournal, error: KosmoError | None) -> None:
        self.current = None
        self._stop_keeping()
        self._interpreter.use_journal(None, restart=False)
        self._counted[journal.id] = journal.close(error)
