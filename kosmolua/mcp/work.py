"""Tool calls, each on its own thread. Meanwhile the client gets progress, answers questions and may cancel the call."""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Protocol

from kosmolua.errors import ScriptError
from kosmolua.gate.entry import Entry
from kosmolua.gate.prompt import Answer, Question
from kosmolua.mcp.protocol import ProtocolError, failed
from kosmolua.runtime.stop import Stop

PATIENCE = 600.0  # seconds to wait for the answer to a question
HEARTBEAT = 5.0  # seconds between progress messages while a call runs


ABSENT = "this client cannot ask a person"


class Peer(Protocol):
    """A request for a tool call, and the client that sent the request. All methods may be called from any thread.

    ``can_ask`` says whether the client can ask a person. A peer that ``parks`` answers its request with the question;
    the client then sends another request for the same call.
    """

    can_ask: bool
    parks: bool

    def progress(self, message: str) -> None: ...
    def ask(self, work: Work, question: Question) -> None: ...
    def result(self, result: dict[str, Any]) -> None: ...
    def error(self, error: ProtocolError) -> None: ...


class Work:
    """One tool call: runs it, asks its questions, and cancels it. ``parked`` holds the calls whose requests were
    answered with a question.
    """

    absent = ABSENT

    def __init__(self, peer: Peer, parked: dict[str, Work]) -> None:
        self.id = secrets.token_urlsafe(24)
        self.stop = Stop()
        self._peer = peer
        self._parked = parked
        self._told = time.monotonic()
        self._answer: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()

    @property
    def can_ask(self) -> bool:
        """Whether the client can ask a person."""
        return self._peer.can_ask

    def start(self, action: Callable[[], dict[str, Any]], ended: Callable[[], None]) -> None:
        """Run the action and answer the request. ``ended`` is called before the client gets the answer."""

        def run() -> None:
            try:
                result = action()
                ended()
                self._peer.result(result)
            except BaseException as error:  # noqa: BLE001 - the client waits for an answer
                ended()
                self._peer.error(failed(error, "the tool"))

        self._thread = threading.Thread(target=run, name="kosmolua-mcp", daemon=True)
        self._thread.start()

    def join(self, until: float) -> None:
        """Wait for the call's thread, at most until that time by ``time.monotonic()``."""
        self._thread.join(max(0.0, until - time.monotonic()))

    def resume(self, peer: Peer, answer: Answer | None) -> None:
        """Continue the call for another request, which carries the answer."""
        self._peer = peer
        self._answer.put(answer)

    def answer(self, answer: Answer | None) -> None:
        self._answer.put(answer)

    def cancel(self) -> None:
        """Stop the call. A pending question is answered with None, which refuses."""
        self.stop.set(ScriptError("canceled by the client", code="interrupted"))
        self._answer.put(None)

    def ask(self, question: Question) -> Answer | None:
        """Ask the client; runs on the thread that makes the call."""
        self._answer = queue.SimpleQueue()  # drops a late answer to an earlier question
        if self.stop.error or not self._peer.can_ask:
            return None
        if self._peer.parks:
            self._parked[self.id] = self
        try:
            self._peer.ask(self, question)
            with suppress(queue.Empty):
                return self._answer.get(timeout=PATIENCE)
            return None
        finally:
            self._parked.pop(self.id, None)

    def report(self, entry: Entry) -> None:
        """Report that a call ended."""
        self._tell(f"{entry.function}: {entry.code or entry.outcome}")

    def beat(self) -> None:
        """Report that the call is still running, unless something was reported recently."""
        if time.monotonic() - self._told >= HEARTBEAT:
            self._tell("still running")

    def _tell(self, message: str) -> None:
        self._told = time.monotonic()
        self._peer.progress(message)


class Crew:
    """The running calls. A thread reports to clients that their calls are still running."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: set[Work] = set()
        self._beating = False

    def __len__(self) -> int:
        return len(self._active)

    def __iter__(self) -> Any:
        with self._lock:
            return iter([*self._active])

    def add(self, work: Work) -> None:
        with self._lock:
            self._active.add(work)
            if not self._beating:
                self._beating = True
                threading.Thread(target=self._beat, name="kosmolua-beat", daemon=True).start()

    def remove(self, work: Work) -> None:
        with self._lock:
            self._active.discard(work)

    def _beat(self) -> None:
        while True:
            time.sleep(HEARTBEAT / 5)
            with self._lock:
                works = [*self._active]
                if not works:
                    self._beating = False
                    return
            for work in works:
                work.beat()


class Current:
    """The tool call of the current thread, or of the context that a thread was started with. It is the host's prompter.

    If it is ``shared`` by clients that cannot be distinguished, the answer of one client applies only to that client's
    call.
    """

    absent = ABSENT

    def __init__(self, *, shared: bool = False) -> None:
        self.shared = shared
        self._work: ContextVar[Work | None] = ContextVar("work", default=None)

    @property
    def work(self) -> Work | None:
        return self._work.get()

    @work.setter
    def work(self, work: Work | None) -> None:
        self._work.set(work)

    def ask(self, question: Question) -> Answer | None:
        answer = self.work.ask(question) if self.work else None
        return "once" if answer == "run" and self.shared else answer
