"""Asking a person. A prompter has one method; without a terminal the answer is no."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import CoroutineType, GeneratorType
from typing import IO, Any, Literal, Protocol

import msgspec
from msgspec import Struct

from kosmolua.errors import AnswerError
from kosmolua.settings.config import Rule
from kosmolua.terminal.plain import is_plain
from kosmolua.terminal.safe import visible
from kosmolua.terminal.screen import LINE, SCREEN

Answer = Literal["once", "run", "always", "no"]
_WORDS = frozenset({"once", "run", "always", "no"})

# A yes is the least of what it may mean.
_ANSWERS: dict[str, Answer] = {
    **dict.fromkeys(("o", "once", "y", "yes"), "once"),
    **dict.fromkeys(("r", "run"), "run"),
    **dict.fromkeys(("a", "always"), "always"),
}
_FREE_TEXT = frozenset({"input", "body", "description", "readme", "query", "metadata", "filename", "content"})
_LOOK = 50  # milliseconds after which the terminal looks whether the question was withdrawn
_BOLD, _PLAIN = "\x1b[1;7m", "\x1b[0m"  # a script's own control characters never reach the terminal


class Question(Struct, frozen=True):
    """What is asked: the function, on whose account, of which access class, with which arguments, by which script,
    and why. ``always`` is the rule that would be written for good, where one can be.
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
        """The person's answer; None where nobody can be asked.

        For a script it is called on a thread of its own. If the run ends first, the answer is ignored, and a prompter
        that also has a method ``withdraw(question)`` is told so, on another thread.
        """


def ask(prompter: Prompter, question: Question) -> Answer | None:
    """The prompter's answer. Raises an `AnswerError` for anything but one of the words of an `Answer` or None: what is
    not clearly a yes allows nothing.
    """
    answer: Any = prompter.ask(question)
    if answer is None or (isinstance(answer, str) and answer in _WORDS):
        return answer  # type: ignore[return-value]  # one of the words
    shown = repr(answer)[:100] if isinstance(answer, str | bytes | int | float) else type(answer).__name__
    if isinstance(answer, CoroutineType | GeneratorType):
        answer.close()  # a coroutine that nobody runs would warn that it was never awaited
    raise AnswerError(
        f"{question.function}: refused, because the prompter answered {shown}; expected once, run, always or no",
        hint="return one of these words from `ask`, or None where nobody can be asked",
    )


class Nobody:
    """Never asks: for pipes, CI and agents."""

    def ask(self, question: Question) -> Answer | None:  # noqa: ARG002 - there is nobody to show it to
        return None


class Scripted:
    """Answers from a list, then no: for tests. ``asked`` keeps the questions."""

    def __init__(self, answers: Iterable[Answer] = ()) -> None:
        self.asked: list[Question] = []
        self._answers = iter(answers)

    def ask(self, question: Question) -> Answer | None:
        self.asked.append(question)
        return next(self._answers, "no")


class Terminal:
    """Asks on the controlling terminal, with everything typed before the question thrown away."""

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
            termios.tcflush(terminal, termios.TCIFLUSH)  # before the end can be seen, so that no answer to it is lost
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
    return max(40, found.columns), max(12, found.lines)


def for_streams() -> Prompter:
    """A terminal where a person sees the question, which is where standard error is one; nobody elsewhere."""
    return Terminal() if sys.stderr.isatty() else Nobody()


def render(question: Question, *, columns: int = 80, rows: int = 24, colour: bool = False) -> str:
    """The whole question, on one screen. What a script had a hand in is escaped, cut, and above the line that asks."""
    what = f"{question.function} ({question.access}) on account {visible(question.account)}"
    script = f" from {_cut(question.script, columns)}" if question.script else ""
    lines = [f"kosmo: {question.function}{script}, with", *_arguments(question, columns, rows)]
    if question.why:
        lines.append(f"  asked because of {_cut(question.why, 2 * columns)}")
    if question.always:
        lines.append(f"  always would write a rule that allows {_rule(question.always, columns)}")
    head = f"kosmo: allow {what}?"
    choice = "[o]nce, for this [r]un, [a]lways, [N]o: " if question.always else "[o]nce, for this [r]un, [N]o: "
    lines.append(f"{_BOLD}{head}{_PLAIN} {choice}" if colour else f"{head} {choice}")
    return "\n".join(lines)


def _arguments(question: Question, columns: int, rows: int) -> Iterator[str]:
    """As much of the arguments as fits above the rest."""
    room = max(1, rows - 8)
    shown = list(question.arguments.items())[:room]
    each = max(1, room // max(1, len(shown))) * columns
    for name, value in shown:
        head = f"    {_cut(name, columns // 2)}: "
        text = msgspec.json.encode(value, enc_hook=repr).decode()
        yield head + _cut(text, max(8, each - len(head) - 24), free=name in _FREE_TEXT)
    if len(question.arguments) > room:
        yield f"    … and {len(question.arguments) - room} more"


def _rule(rule: Rule, columns: int) -> str:
    where = "".join(f" where {name} is {value}" for name, value in rule.arguments.items())
    return _cut(f"{', '.join(rule.globs)} on account {rule.account}{where}", columns, free=False)


def _cut(text: str, length: int, *, free: bool = True) -> str:
    """What is visible of the text, so long at most. The rest, which may be long, is not looked at.

    Names are not ``free`` to hold letters that look like others: in ASCII they cannot pretend to be another name.
    """
    start = text[: length + 1]
    shown = visible(start) if free else visible(start).encode("ascii", "backslashreplace").decode()
    return shown if len(shown) <= length else f"{shown[:length]}… ({len(text)} characters)"
