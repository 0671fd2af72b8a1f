"""A question that can be withdrawn, because its run may end before anybody answers."""

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
    """The stop signal of a run."""

    error: KosmoError | None

    def check(self) -> None:
        """Raise the reason if the run has ended."""

    def on_set(self, callback: Callable[[], None], /) -> AbstractContextManager[None]:
        """Within the context, call ``callback`` when the run ends."""


def put(prompter: Prompter, question: Question, stop: Stopping) -> Answer | None:
    """Ask the prompter on its own thread. Raises what `ask` raises, or the stop reason as soon as the run has ended; a
    later answer is ignored.
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
        """Stop waiting, and call the prompter's `withdraw` if it has one."""
        if self._answered or self._over.is_set():
            return
        self._over.set()
        withdraw = getattr(self._prompter, "withdraw", None)
        if callable(withdraw):
            try:
                withdraw(self._question)
            except Exception as error:  # noqa: BLE001 - the run has ended; this must not change its result
                _log(error)

    def result(self) -> Answer | None:
        if self._error:
            raise self._error
        return self._answer

    def _ask(self) -> None:
        try:
            self._answer = ask(self._prompter, self._question)
        except BaseException as error:  # noqa: BLE001 - raised in `result`
            self._error = error
        self._answered = True
        self._over.set()


def _log(error: Exception) -> None:
    import logging

    logging.getLogger("kosmolua").warning("a prompter's `withdraw` failed: %s: %s", type(error).__name__, error)
