"""The prompt: reads inputs, evaluates them, shows the results, and runs the commands that begin with a colon."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from kosmolua.errors import Interrupted, KosmoError, UsageError, emulated, failure_of
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

_MOST_LEFT = 3  # the maximum number of running predictions that are listed after an interrupt
SLOW = 1.0  # seconds after which the duration of an input is shown
FIRST = "in[1]> "
MAX_FAILURES = 3  # the maximum number of consecutive failures to read an input
_NUMBER = re.compile(r"[0-9]{1,9}")
_ASKED = re.compile(r"[A-Za-z_][\w.:]*\?\??")  # matches name? and name??
# Words that work at other prompts. Here they are commands, unless an input has assigned a value to them.
_WORDS = {
    **dict.fromkeys(("help", "help()"), ":help"),
    **dict.fromkeys(("exit", "exit()", "quit", "quit()", "os.exit()"), ":quit"),
}


class Reader(Protocol):
    """The source of inputs."""

    def read(self, prompt: str) -> str:
        """The next input. Raises EOFError at the end of the input, and KeyboardInterrupt on Ctrl-C."""

    def sixel(self) -> Sixel | None:
        """The terminal's sixel support, or None if it has none. Queries the terminal; keys typed meanwhile are kept."""


def run(shell: Callable[[], Shell], reader: Reader, prompt: str = FIRST) -> None:
    """Process inputs until the end of input or `:quit`. The shell may be created while the first input is typed."""
    failures = 0  # consecutive failures
    while True:
        try:
            text = reader.read(prompt)
            shell().enter(text, reader)
            if shell().over:
                return
            prompt, failures = shell().prompt, 0
        except Interrupted:
            raise
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        except Exception as error:
            failures += 1
            if failures >= MAX_FAILURES:
                raise
            shell().warn(failure_of(error, "reading the input").message)


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
        from kosmolua.repl.journals import Journals  # this loads SQLite, but the prompt is already visible

        self.interpreter = interpreter
        self.calls = calls
        self.screen = screen
        self.known = snapshot
        self.journals = Journals(interpreter, calls, screen, args=args, settling=settling)
        self.pictures = Pictures(screen, self._fetched, self._sixel, self.width)
        self.reader: Reader | None = None
        self.inputs: list[saved.Input] = []  # inputs that succeeded, and failed inputs that are in the journal
        self.last: Any = None
        self.over = self.interrupted = False
        self._prompter = prompter
        self._texts: dict[str, str] = {}  # name -> source, for excerpts in errors

    @property
    def prompt(self) -> str:
        """The prompt of the next input."""
        return f"in[{self.interpreter.number + 1}]> "

    def is_complete(self, text: str) -> bool:
        """Whether an input needs no further line. Two blank lines always end it."""
        stripped = text.strip()
        if not stripped or stripped.startswith((":", "?")) or (not "".join(text.split("\n")[-2:]).strip()):
            return True
        return not incomplete.is_text(text) or not incomplete.wants_more(*self.interpreter.check(text))

    def enter(self, text: str, reader: Reader | None = None) -> None:
        """Run the command or evaluate the input that the reader has read."""
        self.reader = reader
        try:
            self._process(text)
        except Exception as error:  # noqa: BLE001 - the prompt continues, and keeps the Lua state
            self._show_error(failure_of(error, "the prompt"))

    def _process(self, text: str) -> None:
        stripped = text.strip()
        if not incomplete.is_text(text):
            raise UsageError("the input is not UTF-8")
        if stripped.startswith(":"):
            command, rest = commands.parsed(stripped)
            command.action(self, rest)
        elif stripped.startswith("?") or _ASKED.fullmatch(stripped):
            command, rest = commands.parsed(f":help {stripped.strip('?')}")
            command.action(self, rest)
        elif stripped in _WORDS and not self._is_own(stripped.partition("(")[0]):
            command, rest = commands.parsed(_WORDS[stripped])
            command.action(self, rest)
        elif stripped:
            self.evaluate(text)

    # Evaluating ---------------------------------------------------------------------------------------------------

    def evaluate(
        self, text: str, name: str | None = None, *, file: str | None = None, timed: bool = False
    ) -> KosmoError | None:
        """Evaluate an input, which may be part of a file, and show its result. Returns its error."""
        began = time.perf_counter()
        before = self._running_jobs()
        self.calls.begin()
        with self._interruptible(), self.screen.progress(self._running_call):
            found = self.interpreter.evaluate(text.removeprefix("="), name)
        seconds = time.perf_counter() - began
        self.known.forget()
        if self.calls.opened:
            self.calls.opened.ask_again()
        self.screen.end_line()
        if found.error and found.error.code == "interrupted":
            self.screen.forget_echo()
            found.error.hint = self._left(before) or found.error.hint
        self._texts[name or f"in[{self.interpreter.number}]"] = file or text
        self._show(found)
        if timed or seconds >= SLOW:
            self.screen.show(self.screen.painted(f"took {_duration(seconds)}", "dim"))
        self._note(text, found)
        return found.error

    def _running_jobs(self) -> list[str]:
        """The predictions and trainings that this session started and that are not known to have ended."""
        return (
            [f"{kind} {identifier}" for kind, identifier, _ in self.calls.opened.budget.running()]
            if (self.calls.opened and not self.calls.options.dry_run)
            else []
        )

    def _left(self, before: Sequence[str]) -> str | None:
        """What an interrupted input leaves running at the API, and how to cancel it."""
        if self.calls.creating():
            return f"{commands.creates_in_flight(self.calls.creating())} and may cost; after the answer: :cancel"
        left = [job for job in self._running_jobs() if job not in before]
        if not left:
            return None
        more = f" and {len(left) - _MOST_LEFT} more" if len(left) > _MOST_LEFT else ""
        verb = "still runs and may cost" if len(left) == 1 else "still run and may cost"
        return f"{', '.join(left[:_MOST_LEFT])}{more} {verb}; to cancel: :cancel"

    def _is_own(self, name: str) -> bool:
        """Whether an earlier input has defined that name."""
        defined = re.compile(rf"\b{name}\s*(?:=|\()|\blocal\s[^=\n]*\b{name}\b")
        return any(defined.search(each.text) for each in self.inputs)

    def _note(self, text: str, found: Evaluation) -> None:
        """Store the input for `:save`. With a journal, a failed input is stored too, since a replay needs it."""
        error = found.error
        if found.recorded:
            self.journals.ended = error
        passed_by = error is not None and error.code in ("interrupted", "syntax_error", "journal")
        if error is None or found.recorded or (self.journals.current and not passed_by):
            self.inputs.append(saved.Input(self.interpreter.number, text, failed=error is not None))

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Inside this context, Ctrl-C ends only the input."""

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

    def _running_call(self) -> str:
        call = self.calls.longest_call()
        return self.calls.running() or (call[0] if call else "running")

    def _show(self, found: Evaluation) -> None:
        if found.error:
            self._show_error(emulated(found.error) if self.calls.options.emulate else found.error)
        if found.lost:
            self.screen.show_error("the Lua process died; globals and locals are lost (new state started)")
        from kosmolua.repl import render

        for value in found.values:
            self.screen.show(self.screen.as_lua(render.render(value, self.width())))
        if found.values:
            self.last = found.values[0]
            with suppress(KosmoError):  # only :show reports that an image is unavailable
                self.pictures.show(self.last, asked=False)

    def warn(self, text: str) -> None:
        self.screen.show_error(f"kosmo: {text}")

    def _show_error(self, error: KosmoError) -> None:
        from kosmolua.terminal.safe import safe
        from kosmolua.terminal.text import stack

        where = getattr(error, "where", None)
        if error.code == "syntax_error":
            from kosmolua.check.syntax import explain

            name = (where or "").rpartition(":")[0]
            explain(error, name, self._texts.get(name, "").encode())
        prefix = f"{where}: " if where else ""
        lines = [f"error: {prefix}{error.message}", *self._excerpt(where)]
        trace = getattr(error, "traceback", None) or ""
        if "\n" in trace:
            lines += stack(trace)
        if error.hint:
            lines.append(f"hint: {error.hint}")
        self.screen.show_error(safe("\n".join(lines)))

    def _excerpt(self, where: str | None) -> list[str]:
        """The source line that an error names, if its input has several lines."""
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
        with self.screen.progress(self._running_call):
            return self.calls.picture(url, most)

    def _sixel(self) -> Sixel | None:
        """The terminal's sixel support, queried through the reader, since the terminal's answer arrives as input."""
        return self.reader.sixel() if self.reader else None

    def warm(self) -> None:
        """Load what the first input needs."""
        from kosmolua.repl import completion, manual, render  # noqa: F401 - imports them early

        self.known.names()
        self.calls.session()

    def close(self, *, cancel: bool) -> None:
        """End the session; list the jobs that may still be running."""
        from kosmolua.gate.ending import Waiting

        waiting, session = Waiting(self.warn), self.calls.opened
        self.interpreter.close(lambda seconds: waiting(seconds, session.unanswered_writes() if session else []))
        self.known.close()
        self.journals.close()
        if session:
            self._leave(session, cancel=cancel)
        self.calls.close()

    def _leave(self, session: Session, *, cancel: bool) -> None:
        from kosmolua.gate import ending
        from kosmolua.host import unfinished
        from kosmolua.terminal.safe import safe

        real = not self.calls.options.emulate
        left = ending.end(session, self.warn, cancel=cancel, search=real)
        for line in unfinished.lines(left, canceled=cancel) if real else ():
            sys.stderr.write(safe(f"kosmo: {line}\n"))

    # The bottom line ----------------------------------------------------------------------------------------------

    def status(self) -> str:
        """The bottom line: the account, permissions, API, running jobs and amount spent."""
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
        return _fitting(parts, self.width())


def _fitting(parts: Sequence[str], width: int) -> str:
    """The parts on one line. On a narrow terminal they are closer together, and the last parts are omitted."""
    text = "  ·  ".join(parts)
    if len(text) <= width:
        return text
    while parts and len(" · ".join(parts)) > width:
        parts = parts[:-1]
    return " · ".join(parts)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
