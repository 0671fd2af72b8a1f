"""The prompt: reads an input, evaluates it, shows what came of it, and does the commands that begin with a colon."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from kosmolua.errors import JournalError, KosmoError, UsageError
from kosmolua.repl import commands, incomplete, saved

if TYPE_CHECKING:
    from kosmolua.repl.calls import Calls
    from kosmolua.repl.inline import Inline
    from kosmolua.repl.journal import Kept, Wish
    from kosmolua.repl.screen import Screen
    from kosmolua.repl.snapshot import Snapshot
    from kosmolua.runtime.interactive import Evaluation, Interpreter
    from kosmolua.terminal.query import Sixel

SLOW = 1.0  # seconds from which on it is told how long an input took
MAX_IMAGES = 4  # of one value
MAX_FILE = 8 * 1024 * 1024
LOG_LINES = 20
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
        self._interpreter = interpreter
        self._calls = calls
        self._screen = screen
        self._prompter = prompter
        self.known = snapshot
        self._reader: Reader | None = None
        self._inputs: dict[str, str] = {}  # name -> text, for the lines that errors name
        self._done: list[saved.Input] = []  # what did not fail; of what did, what the journal knows
        self._args, self._settling = args, settling
        self._kept: Kept | None = None
        self._ended: KosmoError | None = None  # how the last input ended that the journal knows
        self._counted: dict[str, int] = {}  # journal -> the last row whose call the budget knows
        self._last: Any = None
        self._over = self._interrupted = False
        self._sixel: tuple[Sixel | None] | None = None  # as the terminal said when it was asked

    @property
    def prompt(self) -> str:
        """What stands before the next input."""
        return f"in[{self._interpreter.number + 1}]> "

    @property
    def over(self) -> bool:
        return self._over

    def is_complete(self, text: str) -> bool:
        """Whether an input needs no other line. Two blank lines behind it end it in any case."""
        stripped = text.strip()
        if not stripped or stripped.startswith((":", "?")) or (not "".join(text.split("\n")[-2:]).strip()):
            return True
        return not incomplete.is_text(text) or not incomplete.wants_more(*self._interpreter.check(text))

    def enter(self, text: str, reader: Reader | None = None) -> None:
        """Do what an input says, which comes from that reader."""
        self._reader = reader
        stripped = text.strip()
        try:
            if not incomplete.is_text(text):
                raise UsageError("the input is not UTF-8")
            if stripped.startswith(":"):
                command, rest = commands.parsed(stripped)
                getattr(self, f"_do_{command.name}")(rest)
            elif stripped.startswith("?"):
                self._do_help(stripped[1:].strip())
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
        with self._interruptible(), self._screen.telling(self._what_takes_so_long):
            found = self._interpreter.evaluate(text.removeprefix("="), name)
        seconds = time.perf_counter() - began
        self.known.forget()
        if self._calls.opened:
            self._calls.opened.ask_again()
        self._screen.end_line()
        if found.error and found.error.code == "interrupted":
            self._screen.forget_echo()
            if self._calls.creating():
                found.error.hint = f"{_on_its_way(self._calls.creating())}, and may cost; once it is answered: :cancel"
        self._inputs[name or f"in[{self._interpreter.number}]"] = file or text
        self._show(found)
        if timed or seconds >= SLOW:
            self._screen.show(self._screen.painted(f"took {_duration(seconds)}", "dim"))
        self._note(text, found)
        return found.error

    def _note(self, text: str, found: Evaluation) -> None:
        """Remember the input, for `:save`: with a journal also one that failed, as it is to fail again in its place."""
        error = found.error
        if found.kept:
            self._ended = error
        passed_by = error is not None and error.code in ("interrupted", "syntax_error", "journal")
        if error is None or found.kept or (self._kept and not passed_by):
            self._done.append(saved.Input(self._interpreter.number, text, failed=error is not None))

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C ends the input, and nothing else."""

        def interrupt(*_: object) -> None:
            self._interrupted = True
            self._interpreter.interrupt()
            self._prompter.interrupt()

        self._interrupted = False
        self._prompter.begin()
        before = signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _what_takes_so_long(self) -> str:
        call = self._calls.under_way()
        return call[0] if call else "running"

    def _show(self, found: Evaluation) -> None:
        if found.error:
            self._tell(found.error)
        if found.lost:
            self._screen.show_error("the state was lost: its globals and locals are gone, and a fresh one is here")
        from kosmolua.repl import render

        for value in found.values:
            self._screen.show(self._screen.as_lua(render.render(value, self._width())))
        if found.values:
            self._last = found.values[0]
            with suppress(KosmoError):  # that an image cannot be had is told by :show, where it was asked for
                self._show_images(self._last, asked=False)

    def warn(self, text: str) -> None:
        self._screen.show_error(f"kosmo: {text}")

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
        self._screen.show_error(safe("\n".join(lines)))

    def _excerpt(self, where: str | None) -> list[str]:
        """The line that an error names, where its input has more than that one."""
        name, _, number = (where or "").rpartition(":")
        lines = self._inputs.get(name, "").split("\n")
        if len(lines) == 1 or not _NUMBER.fullmatch(number) or not 0 < int(number) <= len(lines):
            return []
        return [f"  > {number:>4} | {lines[int(number) - 1][:160]}"]

    def _width(self) -> int:
        try:
            return max(20, os.get_terminal_size(1).columns)
        except OSError:
            return 80

    # Images -------------------------------------------------------------------------------------------------------

    def _show_images(self, value: Any, *, asked: bool) -> None:
        from kosmolua.repl import render
        from kosmolua.terminal import images

        protocol = images.protocol_of(os.environ)
        urls = render.images(value)
        if self._screen.plain or (not asked and protocol == "none"):
            urls = [] if not asked else urls
        if asked and not urls:
            raise UsageError("the last value holds no image", hint="give a file: :show picture.png")
        for url in urls[:MAX_IMAGES]:
            self._draw(self._bytes_of(url), url, asked=asked)

    def _bytes_of(self, url: str) -> bytes:
        from kosmolua.terminal import images

        with self._screen.telling(self._what_takes_so_long):
            return self._calls.picture(url, images.MAX_BYTES)

    def _draw(self, data: bytes, name: str, *, asked: bool) -> None:
        from kosmolua.terminal import images

        protocol = images.protocol_of(os.environ)
        sixel = self._sixel_of_terminal() if protocol == "blocks" else None
        drawn = images.shown(data, protocol, min(60, self._width() - 2), sixel=sixel)
        if drawn:
            self._screen.show(drawn.removesuffix("\n"))
        elif asked:
            helps = protocol != "none" and images.needs_pillow()
            raise UsageError(
                f"this terminal cannot show {name[:200]!r}, an image of {len(data)} bytes",
                hint="Pillow reads JPEG, WebP and every PNG: pip install 'kosmolua[images]'" if helps else None,
            )

    def _sixel_of_terminal(self) -> Sixel | None:
        """Asked for once, when there is an image to show: by whom the keyboard is read."""
        if self._sixel is None:
            self._sixel = (self._reader.sixel() if self._reader else None,)
        return self._sixel[0]

    # Commands -----------------------------------------------------------------------------------------------------

    def _do_help(self, name: str) -> None:
        from kosmolua.repl import manual

        self._screen.show(manual.page(name) if name else manual.overview())

    def _do_load(self, path: str) -> None:
        self._load(_needed(path, ":load FILE"))

    def _load(self, path: str) -> None:
        source = _read(path)
        parts = saved.parts(source)
        for number, part in enumerate(parts, 1):
            error = self.evaluate(part.text, path, file=source)
            if error and (self._interrupted or not part.failed or isinstance(error, JournalError)):
                if number < len(parts):
                    self._screen.show_error(f"inputs of {path} behind that, not entered: {len(parts) - number}")
                return

    def _do_save(self, path: str) -> None:
        path = os.path.expanduser(_needed(path, ":save FILE"))
        try:
            with open(path, "x", encoding="utf-8") as file:
                file.write(saved.written(self._done))
        except OSError as error:
            raise UsageError(
                f"cannot save into {path!r}: {error.strerror}", hint="name a file that is not there"
            ) from None
        failed = sum(each.failed for each in self._done)
        more = f", and {failed} that failed" if failed else ""
        self._screen.show(f"saved {_inputs(len(self._done) - failed)} into {path}{more}")

    def _do_edit(self, path: str) -> None:
        from kosmolua.repl import editor

        if path:
            editor.edit(os.path.expanduser(path))
            self._load(path)
            return
        text = editor.edited(next((each.text for each in reversed(self._done) if not each.failed), ""))
        if text.strip():
            self._screen.show(self._screen.as_lua(text.rstrip()))
            self.evaluate(text)

    def _do_time(self, text: str) -> None:
        self.evaluate(_needed(text, ":time LUA"), timed=True)

    def _do_show(self, path: str) -> None:
        if not path:
            self._show_images(self._last, asked=True)
            return
        try:
            with open(os.path.expanduser(path), "rb") as file:
                data = file.read(MAX_FILE)
        except OSError as error:
            raise UsageError(f"cannot read {path!r}: {error.strerror}") from None
        self._draw(data, path, asked=True)

    def _do_reset(self, _: str) -> None:
        self._interpreter.reset()
        self.known.forget()
        self._screen.show("a fresh state")

    def _do_account(self, name: str) -> None:
        options = self._calls.options
        if name:
            known = list(self.known.accounts())
            if name not in known and not options.emulate:
                raise UsageError(
                    f"no account is called {name!r}; there is {', '.join(known)}",
                    hint=f"kosmo integrations:configure replicate --account {name}",
                )
            options.account = name
        self._screen.show(f"calls are made as {options.account}")

    def _do_policy(self, text: str) -> None:
        from kosmolua.settings.config import VERDICTS

        options = self._calls.options
        words = text.split()
        if words:
            if len(words) != 2 or words[0] not in ("read", "write") or words[1] not in VERDICTS:  # noqa: PLR2004
                raise UsageError(f"expected :policy read|write allow|ask|deny, got {text!r}")
            setattr(options, words[0], words[1])
            self._calls.reopen(fresh=False)
        policy = self._calls.session().policy
        rules = [*policy.rules, *policy.classes.values()]
        self._screen.show("\n".join(rule.text for rule in rules))

    def _do_budget(self, text: str) -> None:
        from kosmolua.repl.budget import bounded, told

        budget = self._calls.session().budget
        if text:
            budget.caps = bounded(budget.caps, text)
        self._screen.show(told(budget.spent(), budget.caps))

    def _do_log(self, text: str) -> None:
        if text and not _NUMBER.fullmatch(text):
            raise UsageError(f"expected :log, or :log and how many, got {text!r}")
        from kosmolua.repl import manual

        entries = self._calls.opened.log if self._calls.opened else []
        self._screen.show(manual.log(entries[-int(text or LOG_LINES) :]))

    def _do_cancel(self, text: str) -> None:
        if text:
            raise UsageError(
                f"expected :cancel alone, got {text!r}",
                hint="one alone is canceled by cancel_prediction{ prediction_id = ID }",
            )
        session, creating = self._calls.opened, self._calls.creating()
        running = session.budget.running() if session else []
        with self._screen.telling(lambda: "canceling"):
            left = dict(session.cancel_running()) if session and running else {}
        for kind, identifier, _ in running:
            why = left.get(identifier)
            self._screen.show(f"canceled {kind} {identifier}" if why is None else f"{kind} {identifier}: {why}")
        if creating:
            self._screen.show(f"{_on_its_way(creating)}: try again once it is answered")
        elif not running:
            self._screen.show("nothing runs that this session has started")

    def _do_emulate(self, text: str) -> None:
        options = self._calls.options
        if text not in ("", "on", "off"):
            raise UsageError(f"expected :emulate on or :emulate off, got {text!r}")
        if text and (text == "on") != options.emulate:
            if self._kept:
                self._check_quiet(self._kept)
                self._screen.show_error(f"{self._kept.path} is closed, since it is of calls elsewhere: nothing is kept")
                self._let_go(self._kept, self._ended)
            options.emulate = text == "on"
            self._calls.reopen(fresh=True)
            self._counted.clear()
        self._screen.show("calls are answered by the emulator" if options.emulate else "calls go to Replicate")

    def _do_journal(self, text: str) -> None:
        from kosmolua.repl import journal

        if text == journal.OFF:
            if self._kept is None:
                raise UsageError("no journal is kept", hint="keep one: :journal FILE")
            self._check_quiet(self._kept)
            self._screen.show(f"{self._kept.path} is closed; from here on nothing is kept")
            self._let_go(self._kept, self._ended)
        elif text:
            self.keep(journal.wish(text, self._settling))
        elif self._kept:
            self._tell_of(self._kept)
        else:
            self._screen.show("no journal is kept; keep one: :journal FILE")

    def keep(self, wish: Wish) -> None:
        """From the next input on keep every call in that journal. One that is kept already goes on where it is."""
        from kosmolua.journal import runs
        from kosmolua.repl.journal import Kept

        before, budget = self._kept, self._calls.session().budget
        if before:
            self._check_quiet(before)
        same = before is not None and before.path == runs.path_of(os.environ, wish.file)
        if before and same:
            self._let_go(before, None)
        try:
            kept = Kept(wish, self._calls.options, self._args, self._screen.show)
            kept.charge(budget, self._counted.get(kept.id, 0))
        except KosmoError:
            if same:
                self._screen.show_error(f"{wish.file} is closed; from here on nothing is kept")
            raise
        if before and not same:
            self._let_go(before, self._ended)
        self._kept, self._ended = kept, None
        self._calls.reserve(kept.path, "the journal of this session")
        self._interpreter.keep(kept, anew=not same)
        self._tell_of(kept)

    def _tell_of(self, kept: Kept) -> None:
        from kosmolua.terminal.safe import safe

        self._screen.show(safe(kept.told(self._interpreter.upcoming)))  # a script may have named what it asked for

    def _check_quiet(self, kept: Kept) -> None:
        call = self._calls.under_way()
        if call:
            raise UsageError(
                f"{call[0]} is still under way, and its answer belongs into {kept.path}",
                hint="wait a while, and try again",
            )

    def _let_go(self, kept: Kept, error: KosmoError | None) -> None:
        self._kept = None
        self._interpreter.keep(None, anew=False)
        self._counted[kept.id] = kept.close(error)

    def _do_keys(self, keys: str) -> None:
        if keys not in ("vi", "emacs") or not hasattr(self._reader, "keys"):
            raise UsageError(f"expected :keys vi or :keys emacs, got {keys!r}")
        setattr(self._reader, "keys", keys)  # noqa: B010 - a plain reader has none

    def _do_quit(self, _: str) -> None:
        self._over = True

    def warm(self) -> None:
        """Load what the first input needs, while nothing is typed yet."""
        from kosmolua.repl import completion, manual, render  # noqa: F401 - for having been imported

        self.known.names()
        self._calls.session()

    def close(self, *, cancel: bool) -> None:
        """Leave: end the state, and say what may go on where the API is."""
        self._interpreter.close()
        self.known.close()
        if self._kept:
            if self._kept.failure:
                self._screen.show_error(f"kosmo: {self._kept.failure.message}")
            self._kept.close(self._ended)
        session = self._calls.opened
        if session:
            from kosmolua.cli.lua import tell_running

            left = session.cancel_running() if cancel else []
            tell_running(() if cancel else session.budget.running(), left, session.budget.unanswered())
        self._calls.close()

    # The bottom line ----------------------------------------------------------------------------------------------

    def status(self) -> str:
        """Who calls, what may be called, where, what runs there and what it took."""
        options, session = self._calls.options, self._calls.session()
        verdicts = [f"{access}={rule.verdict}" for access, rule in session.policy.classes.items()]
        running, spent = len(session.budget.running()), session.budget.spent()
        parts = [
            options.account,
            " ".join(verdicts),
            "emulator" if options.emulate else "live",
            f"{running} running",
            f"{spent['seconds_of_compute']:.1f} s compute",
        ]
        if self._kept:
            parts.append(f"journal {os.path.basename(self._kept.path)}")
        return "  ·  ".join(parts)


def _on_its_way(functions: Sequence[str]) -> str:
    return f"{' and '.join(functions[:3])} {'are' if functions[1:] else 'is'} still on the way"


def _inputs(count: int) -> str:
    return f"{count} input{'s' * (count != 1)}"


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _needed(text: str, usage: str) -> str:
    if not text:
        raise UsageError(f"expected {usage}")
    return text


def _read(path: str) -> str:
    try:
        with open(os.path.expanduser(path), "rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path!r}: {error.strerror}") from None
    if len(data) > MAX_FILE or data.startswith(b"\x1b"):
        raise UsageError(f"{path!r} is no Lua text of at most {MAX_FILE} bytes")
    try:
        text = data.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path!r} is not UTF-8") from None
    return f"--{text}" if text.startswith("#") else text
