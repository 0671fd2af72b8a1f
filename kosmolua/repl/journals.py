"""Journals of a session at the prompt: the arguments of `:journal`, the open file, and switching between files."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from kosmolua.errors import JournalError, KosmoError, UsageError
from kosmolua.journal import runs
from kosmolua.journal.records import Head, Lookup, RecordedAnswer
from kosmolua.terminal.safe import safe

if TYPE_CHECKING:
    from kosmolua.gate.budget import Budget
    from kosmolua.journal.ticket import Ticket
    from kosmolua.repl.calls import Calls
    from kosmolua.repl.options import Options
    from kosmolua.repl.screen import Screen
    from kosmolua.runtime.interactive import Interpreter
    from kosmolua.runtime.tape import JournalRequest

USAGE = ":journal FILE [--from-here | --adopt ID | --send-again | --fresh], or :journal off"
OFF = "off"


class JournalOptions(NamedTuple):
    """The arguments of `:journal`. ``cut`` discards the rest of a diverging journal; ``lookup`` says how to treat
    interrupted calls; ``fresh`` starts a new file and keeps the old one under a name that includes its date.
    """

    file: str
    cut: bool = False
    lookup: Lookup = Lookup()
    fresh: bool = False


def parsed(text: str, settling: float) -> JournalOptions:
    """Parse the argument of `:journal`. Raises a `UsageError` if it is invalid."""
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
    """The journal of a prompt's inputs, an implementation of `kosmolua.runtime.tape.InputJournal`. Raises a
    `JournalError` for a file that was not written by a prompt, or that another process uses.
    """

    def __init__(
        self, chosen: JournalOptions, options: Options, args: Sequence[str], tell: Callable[[str], None]
    ) -> None:
        if options.dry_run:
            raise UsageError(
                "a journal cannot be combined with --dry-run, which has nothing to record", hint="leave one of them out"
            )
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
        """Fail all further requests of inputs with this error until the user enters a `:journal` command."""
        if ":journal" not in (error.hint or ""):
            before = f"{error.hint}. Then " if error.hint else ""
            error.hint = f"{before}continue with :journal {self.path}, or without a journal: :journal off"
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

    def recall(self, asked: JournalRequest, turn: int) -> RecordedAnswer | None:
        return self._journal.recall(self._with_account(asked), turn)

    def begin(self, asked: JournalRequest, seen: int) -> Ticket:
        return self._journal.begin(self._with_account(asked), seen)

    def finish(self, ticket: Ticket, value: bytes, *, ok: bool) -> None:
        try:
            self._journal.finish(ticket, value, ok=ok)
        except JournalError as error:
            if self._failure is None:
                self.failure = error
            raise

    def differs(self, order: int, asked: JournalRequest | None) -> JournalError | None:
        return self._journal.differs(order, asked and self._with_account(asked))

    def summary(self, upcoming: int) -> str:
        """The path, the number of calls, and the source of the next answer."""
        count = f"{self.answers} call{'s' * (self.answers != 1)}"
        if self.failure:
            stopped = f"no further calls are recorded or sent: {self.failure.message}"
            return f"{self.path}: {count}; {stopped}\nhint: {self.failure.hint}"
        if upcoming:
            given = f", {upcoming - 1} of them replayed" if upcoming > 1 else ""
            return (
                f"{self.path}: {count}{given}; the next recorded answer is for\n  {self._journal.description(upcoming)}"
            )
        return f"{self.path}: {count}; new calls are sent and recorded"

    def charge(self, budget: Budget, after: int) -> None:
        """Charge the budget for calls that earlier sessions recorded after row ``after``. Closes the journal on
        failure.
        """
        try:
            self._journal.restore(budget, after)
        except JournalError:
            self._journal.close()
            raise

    def predictions(self) -> Iterator[tuple[str, Any]]:
        return self._journal.predictions()

    def close(self, error: KosmoError | None) -> int:
        """Close the journal; ``error`` is the error of the last input. Returns the number of the last row."""
        self._journal.end(error)
        try:
            return self._journal.newest()
        except JournalError:
            return 0
        finally:
            self._journal.close()

    def _with_account(self, asked: JournalRequest) -> Any:
        """The request with its account, which `:account` may change."""
        if asked.account or asked.function.startswith("host."):
            return asked
        return msgspec.structs.replace(asked, account=self._options.account)


class Journals:
    """Opens and closes the journals that a session's inputs use."""

    def __init__(
        self, interpreter: Interpreter, calls: Calls, screen: Screen, *, args: Sequence[str], settling: float
    ) -> None:
        self.current: PromptJournal | None = None
        self.ended: KosmoError | None = None  # the error of the last recorded input
        self._interpreter = interpreter
        self._calls = calls
        self._screen = screen
        self._args, self._settling = args, settling
        self._stop_keeping: Callable[[], None] = lambda: None
        self._counted: dict[str, int] = {}  # journal -> the last row charged to the budget

    def command(self, text: str) -> None:
        """Execute `:journal` with that argument."""
        if text == OFF:
            if self.current is None:
                raise UsageError("no journal is open", hint="Open one: :journal FILE")
            self._check_quiet(self.current)
            self._screen.show(f"{self.current.path} is closed; calls are no longer recorded")
            self._detach(self.current, self.ended)
        elif text:
            self.use(parsed(text, self._settling))
        elif self.current:
            self._show(self.current)
        else:
            self._screen.show("no journal is open; open one: :journal FILE")

    def use(self, chosen: JournalOptions) -> None:
        """Record every call in that journal from the next input on. If it is already open, it continues."""
        before, budget = self.current, self._calls.session().budget
        if before:
            self._check_quiet(before)
        same = before is not None and before.path == runs.path_of(os.environ, chosen.file)
        if before and same:
            self._detach(before, None)
        try:
            opened = PromptJournal(chosen, self._calls.options, self._args, self._screen.show)
            opened.charge(budget, self._counted.get(opened.id, 0))
        except KosmoError:
            if same:
                self._screen.show_error(f"{chosen.file} is closed; calls are no longer recorded")
            raise
        if before and not same:
            self._detach(before, self.ended)
        self.current, self.ended = opened, None
        self._calls.reserve(opened.path, "the journal of this session")
        self._stop_keeping = self._calls.keep(opened.path, opened.predictions(), self._screen.show_error)
        self._interpreter.use_journal(opened, restart=chosen.fresh or not same)
        self._show(opened)

    def leave_for_other_api(self) -> None:
        """Close the journal, since further calls go to another API."""
        if self.current:
            self._check_quiet(self.current)
            self._screen.show_error(
                f"{self.current.path} is closed: its calls went to another API; calls are no longer recorded"
            )
            self._detach(self.current, self.ended)

    def forget_counts(self) -> None:
        """Forget which rows were charged, since the budget is reset."""
        self._counted.clear()

    def close(self) -> None:
        if self.current:
            if self.current.failure:
                self._screen.show_error(f"kosmo: {self.current.failure.message}")
            self._stop_keeping()
            self.current.close(self.ended)

    def _show(self, journal: PromptJournal) -> None:
        self._screen.show(safe(journal.summary(self._interpreter.upcoming)))  # a script chose the names in the message

    def _check_quiet(self, journal: PromptJournal) -> None:
        call = self._calls.longest_call()
        if call:
            raise UsageError(
                f"{call[0]} is still in flight, and its answer belongs in {journal.path}",
                hint="Wait for it, then try again",
            )

    def _detach(self, journal: PromptJournal, error: KosmoError | None) -> None:
        self.current = None
        self._stop_keeping()
        self._interpreter.use_journal(None, restart=False)
        self._counted[journal.id] = journal.close(error)
