"""The prompt: reads an input, evaluates it, shows what came of it, and does the commands that begin with a colon."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from kosmolua.errors import Interrupted, KosmoError, UsageError, emulated
from kosmolua.repl import commands, incomplete, saved
from kosmolua.repl.pictures import Pictures

if TYPE_CHECKING:
    from kosmolua.gate.session import Session
    from kosmolua.repl.calls import Calls
    from kosmolua.repl.inline import Inline
    from kosmolua.repl.screen import Screen
    from kosmolua.repl.snapshot import Snapshot
    from kosmolua.runtime.interactive import Evaluation, Interpreter
    from kosmolua.terminal.query import Sixel

SLOW = 1.0  # seconds from which on it is told how long an input took
FIRST = "in[1]> "
_NUMBER = re.compile(r"[0-9]{1,9}")


class Reader(Protocol):
    """Where inputs come from."""

    def read(self, prompt: str) -> str:
        """The next input. Raises EOFError where there is none, KeyboardInterrupt where it was given up."""

    def sixel(self) -> Sixel | None:
        """How the terminal shows sixel images; None where it shows none. It is asked, and nothing typed is lost."""


def run(shell: Callable[[], Shell], reader: Reader, prompt: str = FIRST) -> None:
    """Take inputs until there is none, or `:quit`. The shell may still be in the making when the first is typed."""
    while True:
        try:
            text = reader.read(prompt)
            shell().enter(text, reader)
        except Interrupted:
            raise
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if shell().over:
            return
        prompt = shell().prompt


class Shell:
    """One session at the prompt."""

    def __init__(
        self,
        interpreter: Interpreter,
        calls: Calls,
        screen: Screen,
        prompter: Inline,
        snapshot: Snapshot,
        *,
        args: Sequence[str] = (),
        settling: float = 30.0,
    ) -> None:
        from kosmolua.repl.journals import Journals  # loads SQLite: the prompt is visible by now

        self.interpreter = interpreter
        self.calls = calls
        self.screen = screen
        self.known = snapshot
        self.journals = Journals(interpreter, calls, screen, args=args, settling=settling)
        self.pictures = Pictures(screen, self._fetched, self._sixel, self.width)
        self.reader: Reader | None = None
        self.inputs: list[saved.Input] = []  # what did not fail; of what did, what the journal knows
        self.last: Any = None
        self.over = self.interrupted = False
        self._prompter = prompter
        self._texts: dict[str, str] = {}  # name -> text, for the lines that errors name

    @property
    def prompt(self) -> str:
        """What stands before the next input."""
        return f"in[{self.interpreter.number + 1}]> "

    def is_complete(self, text: str) -> bool:
        """Whether an input needs no other line. Two blank lines behind it end it in any case."""
        stripped = text.strip()
        if not stripped or stripped.startswith((":", "?")) or (not "".join(text.split("\n")[-2:]).strip()):
            return True
        return not incomplete.is_text(text) or not incomplete.wants_more(*self.interpreter.check(text))

    def enter(self, text: str, reader: Reader | None = None) -> None:
        """Do what an input says, which comes from that reader."""
        self.reader = reader
        stripped = text.strip()
        try:
            if not incomplete.is_text(text):
                raise UsageError("the input is not UTF-8")
            if stripped.startswith(":"):
                command, rest = commands.parsed(stripped)
                command.action(self, rest)
            elif stripped.startswith("?"):
                command, rest = commands.parsed(f":help {stripped[1:]}")
                command.action(self, rest)
            elif stripped:
                self.evaluate(text)
        except KosmoError as error:
            self._tell(error)

    # Evaluating ---------------------------------------------------------------------------------------------------

    def evaluate(
        self, text: str, name: str | None = None, *, file: str | None = None, timed: bool = False
    ) -> KosmoError | None:
        """Evaluate an input, which may be a part of a file, and show what came of it. How it failed."""
        began = time.perf_counter()
        with self._interruptible(), self.screen.telling(self._what_takes_so_long):
            found = self.interpreter.evaluate(text.removeprefix("="), name)
        seconds = time.perf_counter() - began
        self.known.forget()
        if self.calls.opened:
            self.calls.opened.ask_again()
        self.screen.end_line()
        if found.error and found.error.code == "interrupted":
            self.screen.forget_echo()
            if self.calls.creating():
                in_flight = commands.creates_in_flight(self.calls.creating())
                found.error.hint = f"{in_flight} and may cost; once it is answered: :cancel"
        self._texts[name or f"in[{self.interpreter.number}]"] = file or text
        self._show(found)
        if timed or seconds >= SLOW:
            self.screen.show(self.screen.painted(f"took {_duration(seconds)}", "dim"))
        self._note(text, found)
        return found.error

    def _note(self, text: str, found: Evaluation) -> None:
        """Remember the input, for `:save`: with a journal also one that failed, as it is to fail again in its place."""
        error = found.error
        if found.recorded:
            self.journals.ended = error
        passed_by = error is not None and error.code in ("interrupted", "syntax_error", "journal")
        if error is None or found.recorded or (self.journals.current and not passed_by):
            self.inputs.append(saved.Input(self.interpreter.number, text, failed=error is not None))

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C ends the input, and nothing else."""

        def interrupt(*_: object) -> None:
            self.interrupted = True
            self.interpreter.interrupt()
            self._prompter.interrupt()

        self.interrupted = False
        self._prompter.begin()
        before = signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _what_takes_so_long(self) -> str:
        call = self.calls.under_way()
        return call[0] if call else "running"

    def _show(self, found: Evaluation) -> None:
        if found.error:
            self._tell(emulated(found.error) if self.calls.options.emulate else found.error)
        if found.lost:
            self.screen.show_error("the state was lost: its globals and locals are gone, and a fresh one is here")
        from kosmolua.repl import render

        for value in found.values:
            self.screen.show(self.screen.as_lua(render.render(value, self.width())))
        if found.values:
            self.last = found.values[0]
            with suppress(KosmoError):  # that an image cannot be had is told by :show, where it was asked for
                self.pictures.show(self.last, asked=False)

    def warn(self, text: str) -> None:
        self.screen.show_error(f"kosmo: {text}")

    def _tell(self, error: KosmoError) -> None:
        from kosmolua.terminal.safe import safe

        where = getattr(error, "where", None)
        prefix = f"{where}: " if where and not error.message.endswith(f"({where})") else ""
        lines = [f"error: {prefix}{error.message}", *self._excerpt(where)]
        trace = getattr(error, "traceback", None) or ""
        if "\n" in trace:
            lines += [f"    {line}" for line in ("stack:", *trace.splitlines())]
        if error.hint:
            lines.append(f"hint: {error.hint}")
        self.screen.show_error(safe("\n".join(lines)))

    def _excerpt(self, where: str | None) -> list[str]:
        """The line that an error names, where its input has more than that one."""
        name, _, number = (where or "").rpartition(":")
        lines = self._texts.get(name, "").split("\n")
        if len(lines) == 1 or not _NUMBER.fullmatch(number) or not 0 < int(number) <= len(lines):
            return []
        return [f"  > {number:>4} | {lines[int(number) - 1][:160]}"]

    def width(self) -> int:
        try:
            return max(20, os.get_terminal_size(1).columns)
        except OSError:
            return 80

    def _fetched(self, url: str, most: int) -> bytes:
        with self.screen.telling(self._what_takes_so_long):
            return self.calls.picture(url, most)

    def _sixel(self) -> Sixel | None:
        """Asked by whoever reads the keyboard, which is where the terminal answers."""
        return self.reader.sixel() if self.reader else None

    def warm(self) -> None:
        """Load what the first input needs, while nothing is typed yet."""
        from kosmolua.repl import completion, manual, render  # noqa: F401 - for having been imported

        self.known.names()
        self.calls.session()

    def close(self, *, cancel: bool) -> None:
        """Leave: end the state, and say what may go on where the API is."""
        from kosmolua.gate.ending import Waiting

        waiting, session = Waiting(self.warn), self.calls.opened
        self.interpreter.close(lambda seconds: waiting(seconds, session.under_way() if session else []))
        self.known.close()
        self.journals.close()
        if session:
            self._leave(session, cancel=cancel)
        self.calls.close()

    def _leave(self, session: Session, *, cancel: bool) -> None:
        from kosmolua.gate import ending
        from kosmolua.host import leftover
        from kosmolua.terminal.safe import safe

        real = not self.calls.options.emulate
        left = ending.end(session, self.warn, cancel=cancel, search=real)
        for line in leftover.lines(left, canceled=cancel) if real else ():
            sys.stderr.write(safe(f"kosmo: {line}\n"))

    # The bottom line ----------------------------------------------------------------------------------------------

    def status(self) -> str:
        """Who calls, what may be called, where, what runs there and what it took."""
        from kosmolua.repl.budget import brief

        options, session = self.calls.options, self.calls.session()
        verdicts = [f"{access}={rule.verdict}" for access, rule in session.policy.classes.items()]
        running = len(session.budget.running())
        parts = [
            options.account,
            " ".join(verdicts),
            "emulator" if options.emulate else "live",
            f"{running} running",
            *brief(session.budget.spent(), session.budget.guessed()),
        ]
        if self.journals.current:
            parts.append(f"journal {os.path.basename(self.journals.current.path)}")
        return "  ·  ".join(parts)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
