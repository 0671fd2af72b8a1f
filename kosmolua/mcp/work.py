"""Blocking work on its own thread, while the client gets progress, answers questions and may cancel."""

from __future__ import annotations

import asyncio
import queue
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from msgspec import Struct

from kosmolua.errors import ScriptError
from kosmolua.gate.entry import Entry
from kosmolua.gate.prompt import Answer, Question
from kosmolua.runtime.stop import Stop

PATIENCE = 600.0  # seconds to wait for an answer


class Done(Struct, frozen=True):
    """The end of the work: the result of the tool, or an unexpected exception."""

    result: dict[str, Any] | None = None
    error: BaseException | None = None

    def unwrap(self) -> dict[str, Any] | None:
        if self.error:
            raise self.error
        return self.result


class Work:
    """One call of a tool: runs it, is its prompter, and cancels it."""

    def __init__(self) -> None:
        self.id = secrets.token_urlsafe(24)
        self.stop = Stop()
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Question | str | Done] = asyncio.Queue()
        self._answer: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()

    def start(self, action: Callable[[], dict[str, Any]], ended: Callable[[], None]) -> None:
        """Run the action. ``ended`` is called on the loop's thread at its end, even if no one waits for it."""

        def run() -> None:
            try:
                done = Done(action())
            except BaseException as error:  # noqa: BLE001 - raised by `unwrap`
                done = Done(error=error)
            self._call_soon(ended)
            self._call_soon(self._events.put_nowait, done)

        self._thread = threading.Thread(target=run, name="kosmolua-mcp", daemon=True)
        self._thread.start()

    def join(self, until: float) -> None:
        """Wait for its thread, until ``time.monotonic()`` says so at most."""
        self._thread.join(max(0.0, until - time.monotonic()))

    async def next(self, seconds: float) -> Question | str | Done | None:
        """The next event: a question, a progress message or the end; None after that many seconds without one."""
        try:
            return await asyncio.wait_for(self._events.get(), seconds)
        except TimeoutError:
            return None

    def answer(self, answer: Answer | None) -> None:
        self._answer.put(answer)

    def cancel(self) -> None:
        """Stop the work. A pending question is answered with None: nobody could be asked."""
        self.stop.set(ScriptError("canceled by the client", code="interrupted"))
        self._answer.put(None)

    def ask(self, question: Question) -> Answer | None:
        """Ask the client; runs on the thread that makes the call."""
        self._answer = queue.SimpleQueue()  # drops a late answer to an earlier question
        if self.stop.error:
            return None
        self._call_soon(self._events.put_nowait, question)
        with suppress(queue.Empty):
            return self._answer.get(timeout=PATIENCE)
        return None

    def report(self, entry: Entry) -> None:
        """Report that a call ended."""
        self._call_soon(self._events.put_nowait, f"{entry.function}: {entry.code or entry.outcome}")

    def _call_soon(self, action: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(action, *arguments)


class Current:
    """The work of the current thread, or of the context that a thread was started with. It is the host's prompter."""

    def __init__(self) -> None:
        self._work: ContextVar[Work | None] = ContextVar("work", default=None)

    @property
    def work(self) -> Work | None:
        return self._work.get()

    @work.setter
    def work(self, work: Work | None) -> None:
        self._work.set(work)

    def ask(self, question: Question) -> Answer | None:
        return self.work.ask(question) if self.work else None
