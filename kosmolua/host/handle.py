"""A run that was started: its state, events and result, and how to stop it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal

from kosmolua.host.events import Event

if TYPE_CHECKING:
    from kosmolua.host.result import Result
    from kosmolua.host.script import ScriptRun
    from kosmolua.runtime.resting import WaitingRoom

State = Literal["running", "succeeded", "failed", "stopped"]
MAX_EVENTS = 10_000  # the maximum number of events kept for `events`; the oldest are dropped first


class Handle:
    """A started run, made by `kosmolua.Host.start`. Thread-safe."""

    def __init__(self, tags: Mapping[str, str]) -> None:
        self.tags = tags
        self._changed = threading.Condition()  # its lock is reentrant
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._count = 0
        self._result: Result | None = None
        self._raised: BaseException | None = None
        self._is_done = False
        self._waiting: list[Callable[[], None]] = []
        self._told: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"<Handle {self.id} {self.state}>"

    @property
    def id(self) -> str:
        """The id of the run in events, the log and the record of calls."""
        return self._run.id

    @property
    def state(self) -> State:
        """Whether the run is running, or how it ended."""
        if not self._is_done:
            return "running"
        if self._result is None:
            return "failed"
        if self._result.error is None:
            return "succeeded"
        return "stopped" if self._result.error.code == "interrupted" else "failed"

    def result(self, timeout: float | None = None) -> Result:
        """Wait for the result for at most ``timeout`` seconds. Raises a TimeoutError, or an exception of a callback."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_done, timeout):
                raise TimeoutError(f"the run {self.id} has not ended within {timeout:g} s")
        if self._raised:
            raise self._raised
        assert self._result is not None  # noqa: S101 - for the type checker
        return self._result

    def stop(self, reason: str = "the run was stopped") -> None:
        """End the run, whatever its script does. Waits for a request in flight."""
        self._run.stop(reason)

    def events(self) -> Iterator[Event]:
        """All events from the first one on, as they happen, until the run has ended."""
        seen = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._count > seen or self._is_done)  # noqa: B023 - called at once
                found, seen, is_done = self.since(seen)
            yield from found
            if is_done and not found:
                return

    def since(self, seen: int) -> tuple[list[Event], int, bool]:
        """The events after the first ``seen`` ones, how many there were in total, and whether the run has ended."""
        with self._changed:
            seen = max(seen, self._count - len(self._events))
            found = [*self._events][seen - self._count :] if self._count > seen else []
            return found, self._count, self._is_done

    @contextmanager
    def told(self, action: Callable[[], None]) -> Iterator[None]:
        """Inside this context, call ``action`` after each event and at the end of the run, in the thread of the
        event.
        """
        with self._changed:
            self._told.append(action)
        try:
            yield
        finally:
            with self._changed:
                self._told.remove(action)

    def when_done(self, action: Callable[[], None]) -> None:
        """Call ``action`` in the thread of the run when it ends, or now if it has ended."""
        with self._changed:
            if not self._is_done:
                self._waiting.append(action)
                return
        action()

    # For the host -------------------------------------------------------------------------------------------------

    def note(self, event: Event) -> None:
        """Add an event of the run."""
        with self._changed:
            self._events.append(event)
            self._count += 1
            self._changed.notify_all()
            told = [*self._told]
        for action in told:
            action()

    def begin(self, run: ScriptRun, until: ExitStack, room: WaitingRoom) -> None:
        """Start the run in a thread. While the run only waits, it has no thread and is in the ``room``. ``until`` was
        entered before; it is closed at the end of the run.
        """
        self._run = run
        self._steps = run.steps(rests=True)
        self._until = until
        self._room = room
        self._go()

    def _go(self) -> None:
        threading.Thread(target=self._work, name=f"kosmolua-{self._run.id}", daemon=True).start()

    def _work(self) -> None:
        """Execute one step of the run."""
        try:
            pause = next(self._steps)
            self._room.add(pause, self._go)
        except StopIteration as end:
            self._end(end.value, None)
        except BaseException as error:  # noqa: BLE001 - raised by `result`
            self._steps.close()
            self._end(self._run.outcome, error)

    def _end(self, result: Result | None, raised: BaseException | None) -> None:
        try:
            self._until.close()
        except BaseException as error:  # noqa: BLE001 - raised by `result`
            result, raised = self._run.outcome, raised or error
        with self._changed:
            self._result, self._raised, self._is_done = result, raised, True
            self._changed.notify_all()
            told = [*self._told]
        for action in (*self._waiting, *told):
            action()
