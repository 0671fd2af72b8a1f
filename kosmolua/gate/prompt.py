"""Asking a person. A prompter has one method; without a terminal the answer is no."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct

Answer = Literal["once", "run", "no"]

_MAX_VALUE = 300
_ANSWERS: dict[str, Answer] = {"o": "once", "once": "once", "r": "run", "run": "run"}


class Question(Struct, frozen=True):
    """What is asked: the function, on whose account, of which access class, with which arguments, by which script."""

    function: str
    account: str
    access: str
    arguments: Mapping[str, Any]
    script: str | None = None


class Prompter(Protocol):
    def ask(self, question: Question) -> Answer | None:
        """The person's answer; None where nobody can be asked."""


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

    def ask(self, question: Question) -> Answer | None:
        import termios

        try:
            terminal = open("/dev/tty", "r+b", buffering=0)  # noqa: SIM115 - closed by the with below
        except OSError:
            return None
        with terminal:
            termios.tcflush(terminal, termios.TCIFLUSH)
            terminal.write(render(question).encode())
            answer = terminal.readline().decode(errors="replace").strip().lower()
        return _ANSWERS.get(answer, "no")


def for_streams() -> Prompter:
    """A terminal where a person sees the question, which is where standard error is one; nobody elsewhere."""
    return Terminal() if sys.stderr.isatty() else Nobody()


def visible(text: str) -> str:
    """The text with control, format and other unseen characters written out, so that none can draw on a terminal."""
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode()


def render(question: Question) -> str:
    """The whole question. What the script had a hand in is escaped, cut, and above the line that asks."""
    script = f" from {visible(question.script)}" if question.script else ""
    lines = [f"kosmo: allow {question.function} ({question.access}) on account {visible(question.account)}{script}?"]
    lines += [f"    {visible(name)}: {_shown(value)}" for name, value in question.arguments.items()]
    return "\n".join(lines) + "\n  [o]nce, [r]un: this function for the rest of the run, [N]o: "


def _shown(value: Any) -> str:
    text = visible(msgspec.json.encode(value, enc_hook=repr).decode())
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}… ({len(text)} characters)"
