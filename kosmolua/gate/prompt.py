"""Prompters, which ask a person to allow a call. Without a terminal nobody is asked."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import CoroutineType, GeneratorType
from typing import IO, Any, Literal, Protocol

import msgspec
from msgspec import Struct

from kosmolua.errors import AnswerError
from kosmolua.replicate.structs import FileContent
from kosmolua.settings.config import Rule
from kosmolua.terminal.plain import is_plain
from kosmolua.terminal.safe import visible
from kosmolua.terminal.screen import LINE, SCREEN

Answer = Literal["once", "run", "always", "no"]
_WORDS = frozenset({"once", "run", "always", "no"})

# "yes" means the narrowest option: once.
_ANSWERS: dict[str, Answer] = {
    **dict.fromkeys(("o", "once", "y", "yes"), "once"),
    **dict.fromkeys(("r", "run"), "run"),
    **dict.fromkeys(("a", "always"), "always"),
}
_FREE_TEXT = frozenset({"input", "body", "description", "readme", "query", "metadata", "filename", "content"})
_LOOK = 50  # milliseconds between checks whether the question was withdrawn
_ROOM_TO_ANSWER, _ROOM_TO_COUNT, _LEAST = " " * 8, 24, 8  # columns: for the answer, "… (12345 characters)", a value
_BOLD, _PLAIN = "\x1b[1;7m", "\x1b[0m"  # a script's own control characters never reach the terminal


class Question(Struct, frozen=True):
    """A question: function, account, access class, arguments, script and reason. ``always`` is the rule to save if the
    answer is "always"; None if that answer is not possible.
    """

    function: str
    account: str
    access: str
    arguments: Mapping[str, Any]
    script: str | None = None
    why: str = ""
    always: Rule | None = None


class Prompter(Protocol):
    """Asks a person, one question at a time."""

    def ask(self, question: Question) -> Answer | None:
        """The person's answer; None if nobody can be asked.

        An optional attribute ``absent`` says why nobody can be asked; the call's error shows it. For a script, `ask` is
        called on a separate thread. If the run ends first, the answer is ignored, and the optional method
        ``withdraw(question)`` is called on another thread.
        """


def ask(prompter: Prompter, question: Question) -> Answer | None:
    """The prompter's answer. Raises an `AnswerError` unless it is a word of `Answer` or None, so that an unclear answer
    allows nothing.
    """
    answer: Any = prompter.ask(question)
    if answer is None or (isinstance(answer, str) and answer in _WORDS):
        return answer  # type: ignore[return-value]  # one of the words
    shown = repr(answer)[:100] if isinstance(answer, str | bytes | int | float) else type(answer).__name__
    if isinstance(answer, CoroutineType | GeneratorType):
        answer.close()  # else Python warns that the coroutine was never awaited
    raise AnswerError(
        f"{question.function}: refused, because the prompter answered {shown}; expected once, run, always or no",
        hint="return one of these words from `ask`, or None if nobody can be asked",
    )


class Nobody:
    """Never asks: for pipes, CI and agents."""

    def ask(self, question: Question) -> Answer | None:  # noqa: ARG002 - the protocol's signature
        return None


class Scripted:
    """A prompter for tests: answers from a list, then "no". ``asked`` collects the questions."""

    def __init__(self, answers: Iterable[Answer] = ()) -> None:
        self.asked: list[Question] = []
        self._answers = iter(answers)

    def ask(self, question: Question) -> Answer | None:
        self.asked.append(question)
        return next(self._answers, "no")


class Terminal:
    """Asks on the controlling terminal. Discards everything typed before the question."""

    _withdrawn: Question | None = None

    def withdraw(self, question: Question) -> None:
        """Stop waiting for the answer."""
        self._withdrawn = question

    def ask(self, question: Question) -> Answer | None:
        import termios

        try:
            terminal = open("/dev/tty", "r+b", buffering=0)  # noqa: SIM115 - closed by the with below
        except OSError:
            return None
        with SCREEN, terminal:
            if self._withdrawn is question:
                return None
            LINE.wipe()
            sys.stdout.flush()
            columns, rows = _size(terminal.fileno())
            text = render(question, columns=columns, rows=rows, colour=not is_plain(os.environ))
            terminal.write(text[:-1].encode())
            termios.tcflush(terminal, termios.TCIFLUSH)  # before the last character, so that no answer is lost
            terminal.write(text[-1:].encode())
            answer = _ANSWERS.get(self._line(terminal, question).strip().lower(), "no")
        return "no" if answer == "always" and question.always is None else answer

    def _line(self, terminal: IO[bytes], question: Question) -> str:
        ready = select.poll()
        ready.register(terminal, select.POLLIN)
        while not ready.poll(_LOOK):
            if self._withdrawn is question:
                terminal.write(b"\n")
                return ""
        return terminal.readline().decode(errors="replace")


def _size(terminal: int) -> tuple[int, int]:
    try:
        found = os.get_terminal_size(terminal)
    except OSError:
        return 80, 24
    return max(40, found.columns or 80), max(12, found.lines or 24)  # zero if the terminal does not know its size


def for_streams() -> Prompter:
    """`Terminal` if standard error is a terminal, where a person sees the question, else `Nobody`."""
    return Terminal() if sys.stderr.isatty() else Nobody()


def render(question: Question, *, columns: int = 80, rows: int = 24, colour: bool = False) -> str:
    """The question, on one screen. Text that the script controls is escaped, truncated, and above the last line."""
    what = f"{question.function} ({question.access}) on account {visible(question.account)}"
    script = f" from {_cut(question.script, columns)}" if question.script else ""
    first, after = f"kosmo: {question.function}{script}, with", []
    if question.why:
        after.append(f"  reason: {_cut(question.why, 2 * columns)}")
    if question.always:
        after.append(f"  always saves a rule that allows {_rule(question.always, columns)}")
    head = _folded(f"kosmo: allow {what}?", columns)
    choice = "[o]nce, for this [r]un, [a]lways, [N]o: " if question.always else "[o]nce, for this [r]un, [N]o: "
    last = head.rpartition("\n")[2]
    joint = " " if _width(f"{last} {choice}{_ROOM_TO_ANSWER}") <= columns else "\n"
    first, after = _folded(first, columns), [_folded(line, columns) for line in after]
    whole = "\n".join([first, *after, f"{head}{joint}{choice}{_ROOM_TO_ANSWER}"])
    taken = sum(_lines(line, columns) for line in whole.split("\n"))
    after.append(f"{_BOLD}{head}{_PLAIN}{joint}{choice}" if colour else f"{head}{joint}{choice}")
    return "\n".join([first, *_arguments(question, columns, max(1, rows - taken)), *after])


def _folded(text: str, columns: int) -> str:
    """The text wrapped to the width of the screen, broken between words."""
    if _width(text) <= columns:
        return text
    import textwrap

    return "\n".join(textwrap.wrap(text, columns, break_on_hyphens=False, subsequent_indent="    "))


def _arguments(question: Question, columns: int, room: int) -> Iterator[str]:
    """The arguments, in at most ``room`` lines. Long arguments use the lines that short ones do not need. If the
    arguments do not fit, a quarter of the lines is left free for earlier output.
    """
    given = question.arguments.items()
    count = len(given) if len(given) <= room else max(1, room - 1)
    shown = [_Argument(name, value, columns, room) for name, value in islice(given, count)]
    fits = count == len(given) and sum(one.lines for one in shown) <= room
    left = room if fits else max(count, room * 3 // 4)
    for waiting, one in zip(range(count, 0, -1), sorted(shown, key=lambda one: one.lines), strict=True):
        one.lines = min(one.lines, max(1, left // waiting))
        left -= one.lines
    yield from (one.within(columns) for one in shown)
    if count < len(given):
        yield f"    … and {len(given) - count} more"


class _Argument:
    """One argument as text; ``lines`` is how many lines it takes or may take."""

    def __init__(self, name: str, value: Any, columns: int, room: int) -> None:
        plain = f"file:{value.path}, {value.size} bytes" if isinstance(value, FileContent) else value
        self._head = f"    {_cut(name, columns // 2)}: "
        self._text = msgspec.json.encode(plain, enc_hook=repr).decode()
        self._free = name in _FREE_TEXT
        self._shown = self._head + _cut(self._text, columns * room, free=self._free)
        self.lines = _lines(self._shown, columns)

    def within(self, columns: int) -> str:
        if _lines(self._shown, columns) <= self.lines:
            return self._shown
        most = self.lines * columns - len(self._head) - _ROOM_TO_COUNT
        while most > _LEAST and _lines(self._head + self._cut(most), columns) > self.lines:
            most -= columns // 4  # wide characters take two columns
        return self._head + self._cut(max(_LEAST, most))

    def _cut(self, length: int) -> str:
        return _cut(self._text, length, free=self._free)


def _lines(text: str, columns: int) -> int:
    """The number of screen lines that a text takes."""
    return max(1, -(-_width(text) // columns))


def _width(text: str) -> int:
    """The number of screen columns that a text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import east_asian_width

    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def _rule(rule: Rule, columns: int) -> str:
    where = "".join(f" where {name} is {value}" for name, value in rule.arguments.items())
    return _cut(f"{', '.join(rule.globs)} on account {rule.account}{where}", columns, free=False)


def _cut(text: str, length: int, *, free: bool = True) -> str:
    """The text with control characters shown, truncated to ``length``. Only that part is processed.

    Names are not ``free`` text: they are shown in ASCII, so that look-alike letters cannot imitate another name.
    """
    start = text[: length + 1]
    shown = visible(start) if free else visible(start).encode("ascii", "backslashreplace").decode()
    return shown if len(shown) <= length else f"{shown[:length]}… ({len(text)} characters)"
