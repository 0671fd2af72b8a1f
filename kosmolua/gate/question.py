"""A question that can be withdrawn: the run that asks may end while nobody answers."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from kosmolua.gate.prompt import Answer, Prompter, Question, ask

if TYPE_CHECKING:
    from kosmolua.errors import KosmoError


class Stopping(Protocol):
    """What ends a run from outside."""

    error: KosmoError | None

    def check(self) -> None:
        """Raise why the run has ended, if it has."""

    def on_set(self, callback: Callable[[], None], /) -> AbstractContextManager[None]:
        """Call it when the run ends meanwhile."""


def put(prompter: Prompter, question: Question, stop: Stopping) -> Answer | None:
    """The prompter's answer, asked for on a thread of its own. Raises what `ask` raises, and why the run has ended as
    soon as it has: an answer that comes later is for nobody.
    """
    stop.check()
    asking = _Asking(prompter, question)
    try:
        with stop.on_set(asking.withdraw):
            asking.wait()
    except BaseException:  # an interrupt, for instance
        asking.withdraw()
        raise
    stop.check()
    return asking.result()


class _Asking:
    def __init__(self, prompter: Prompter, question: Question) -> None:
        self._prompter = prompter
        self._question = question
        self._over = threading.Event()
        self._answered = False
        self._answer: Answer | None = None
        self._error: BaseException | None = None

    def wait(self) -> None:
        context = contextvars.copy_context()
        if not self._over.is_set():
            threading.Thread(target=context.run, args=(self._ask,), name="kosmolua-question", daemon=True).start()
        self._over.wait()

    def withdraw(self) -> None:
        """Nobody waits for an answer any more; a prompter that has a method `withdraw` is told."""
        if self._answered or self._over.is_set():
            return
        self._over.set()
        withdraw = getattr(self._prompter, "withdraw", None)
        if callable(withdraw):
            try:
                withdraw(self._question)
            except Exception as error:  # noqa: BLE001 - the run has ended, and must not end otherwise for this
                _log(error)

    def result(self) -> Answer | None:
        if self._error:
            raise self._error
        return self._answer

    def _ask(self) -> None:
        try:
            self._answer = ask(self._prompter, self._question)
        except BaseException as error:  # noqa: BLE001 - raised where the question was put
            self._error = error
        self._answered = True
        self._over.set()


def _log(error: Exception) -> None:
    import logging

    logging.getLogger("kosmolua").warning("a prompter's `withdraw` failed: %s: %s", type(error).__name__, error)
