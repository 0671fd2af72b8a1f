"""What takes long and blocks, carried out on a thread of its own, while the client is told, asked, and may cancel."""

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

PATIENCE = 600.0  # seconds in which a person may answer


class Done(Struct, frozen=True):
    """The end: the tool's result, or what nobody had foreseen."""

    result: dict[str, Any] | None = None
    error: BaseException | None = None

    def taken(self) -> dict[str, Any] | None:
        if self.error:
            raise self.error
        return self.result


class Work:
    """One call of a tool: carries it out, is its prompter, and ends it."""

    def __init__(self) -> None:
        self.id = secrets.token_urlsafe(24)
        self.stop = Stop()
        self._loop = asyncio.get_running_loop()
        self._news: asyncio.Queue[Question | str | Done] = asyncio.Queue()
        self._answer: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()

    def start(self, action: Callable[[], dict[str, Any]], ended: Callable[[], None]) -> None:
        """Carry the action out. The loop's thread is told when it has ended, whoever still waits for it."""

        def run() -> None:
            try:
                done = Done(action())
            except BaseException as error:  # noqa: BLE001 - raised where it is awaited
                done = Done(error=error)
            self._call_soon(ended)
            self._call_soon(self._news.put_nowait, done)

        self._thread = threading.Thread(target=run, name="kosmolua-mcp", daemon=True)
        self._thread.start()

    def join(self, until: float) -> None:
        """Wait for its thread, until ``time.monotonic()`` says so at most."""
        self._thread.join(max(0.0, until - time.monotonic()))

    async def next(self, seconds: float) -> Question | str | Done | None:
        """What comes next: a question, a word of progress, the end; None where that many seconds bring nothing."""
        try:
            return await asyncio.wait_for(self._news.get(), seconds)
        except TimeoutError:
            return None

    def answer(self, answer: Answer | None) -> None:
        self._answer.put(answer)

    def cancel(self) -> None:
        """End it, and answer with nobody what it may ask."""
        self.stop.set(ScriptError("canceled by the client", code="interrupted"))
        self._answer.put(None)

    def ask(self, question: Question) -> Answer | None:
        """Put the question to the client; on the thread that the call is made on."""
        self._answer = queue.SimpleQueue()  # an answer that comes too late is an answer to nothing
        if self.stop.error:
            return None
        self._call_soon(self._news.put_nowait, question)
        with suppress(queue.Empty):
            return self._answer.get(timeout=PATIENCE)
        return None

    def tell(self, entry: Entry) -> None:
        """Pass on that a call has ended."""
        self._call_soon(self._news.put_nowait, f"{entry.function}: {entry.code or entry.outcome}")

    def _call_soon(self, action: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop has ended, and nobody listens
            self._loop.call_soon_threadsafe(action, *arguments)


class Current:
    """Who asks: the work that this thread carries out, also on threads that are given its context."""

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
