"""Prompters, which ask a person to allow a call. Without a terminal nobody is asked."""

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

        For a script it is called on its own thread. If the run ends first, the answer is ignored, and the optional
        method ``withdraw(question)`` is called on another thread.
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
    """For tests: answers from a list, then "no". ``asked`` collects the questions."""

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
    return max(40, found.columns), max(12, found.lines)


def for_streams() -> Prompter:
    """`Terminal` if standard error is a terminal, where a person sees the question, else `Nobody`."""
    return Terminal() if sys.stderr.isatty() else Nobody()


def render(question: Question, *, columns: int = 80, rows: int = 24, colour: bool = False) -> str:
    """The question, on one screen. Text that the script controls is escaped, truncated, and above the last line."""
    what = f"{question.function} ({question.access}) on account {visible(question.account)}"
    script = f" from {_cut(question.script, columns)}" if question.script else ""
    lines = [f"kosmo: {question.function}{script}, with", *_arguments(question, columns, rows)]
    if question.why:
        lines.append(f"  reason: {_cut(question.why, 2 * columns)}")
    if question.always:
        lines.append(f"  always saves a rule that allows {_rule(question.always, columns)}")
    head = f"kosmo: allow {what}?"
    choice = "[o]nce, for this [r]un, [a]lways, [N]o: " if question.always else "[o]nce, for this [r]un, [N]o: "
    lines.append(f"{_BOLD}{head}{_PLAIN} {choice}" if colour else f"{head} {choice}")
    return "\n".join(lines)


def _arguments(question: Question, columns: int, rows: int) -> Iterator[str]:
    """The arguments, truncated to fit on the screen."""
    room = max(1, rows - 8)
    shown = list(question.arguments.items())[:room]
    each = max(1, room // max(1, len(shown))) * columns
    for name, value in shown:
        head = f"    {_cut(name, columns // 2)}: "
        plain = f"file:{value.path}, {value.size} bytes" if isinstance(value, FileContent) else value
        text = msgspec.json.encode(plain, enc_hook=repr).decode()
        yield head + _cut(text, max(8, each - len(head) - 24), free=name in _FREE_TEXT)
    if len(question.arguments) > room:
        yield f"    … and {len(question.arguments) - room} more"


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
