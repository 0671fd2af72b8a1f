"""A run that goes on in a thread of its own: its state, its events, its result, and how to stop it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal

from kosmolua.host.events import Event

if TYPE_CHECKING:
    from kosmolua.host.result import Result
    from kosmolua.host.script import ScriptRun

State = Literal["running", "succeeded", "failed", "stopped"]
MAX_EVENTS = 10_000  # kept for `events`; of more the oldest are dropped


class Handle:
    """A started run. `kosmolua.Host.start` makes them; any thread may use it."""

    def __init__(self, tags: Mapping[str, str]) -> None:
        self.tags = tags
        self._changed = threading.Condition()
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._count = 0
        self._result: Result | None = None
        self._raised: BaseException | None = None
        self._is_done = False
        self._waiting: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"<Handle {self.id} {self.state}>"

    @property
    def id(self) -> str:
        """What events, the log and the record of calls know the run by."""
        return self._run.id

    @property
    def state(self) -> State:
        """Whether it goes on, or how it ended."""
        if not self._is_done:
            return "running"
        if self._result is None:
            return "failed"
        if self._result.error is None:
            return "succeeded"
        return "stopped" if self._result.error.code == "interrupted" else "failed"

    def result(self, timeout: float | None = None) -> Result:
        """Wait for the end, at most that many seconds. Raises a TimeoutError, or what a callback of the run raised."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_done, timeout):
                raise TimeoutError(f"the run {self.id} has not ended within {timeout:g} s")
        if self._raised:
            raise self._raised
        assert self._result is not None  # noqa: S101 - for the type checker
        return self._result

    def stop(self, reason: str = "the run was stopped") -> None:
        """End the run, whatever its script does. A request that is under way is waited for."""
        self._run.stop(reason)

    def events(self) -> Iterator[Event]:
        """The events from the first one on, as they come, until the run has ended."""
        seen = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._count > seen or self._is_done)  # noqa: B023 - called at once
                seen = max(seen, self._count - len(self._events))
                found = [*self._events][seen - self._count :] if self._count > seen else []
                seen, is_done = self._count, self._is_done
            yield from found
            if is_done and not found:
                return

    def when_done(self, action: Callable[[], None]) -> None:
        """Call this once the run has ended, from its thread; at once if it has."""
        with self._changed:
            if not self._is_done:
                self._waiting.append(action)
                return
        action()

    # For the host -------------------------------------------------------------------------------------------------

    def note(self, event: Event) -> None:
        """Take an event of the run."""
        with self._changed:
            self._events.append(event)
            self._count += 1
            self._changed.notify_all()

    def begin(self, run: ScriptRun, until: AbstractContextManager[object]) -> None:
        """Run it in a thread, inside a context that was entered before."""
        self._run = run
        threading.Thread(target=self._work, args=(until,), name=f"kosmolua-{run.id}", daemon=True).start()

    def _work(self, until: AbstractContextManager[object]) -> None:
        result = raised = None
        try:
            with until:
                result = self._run.result()
        except BaseException as error:  # noqa: BLE001 - raised by `result`
            result, raised = self._run.outcome, error
        with self._changed:
            self._result, self._raised, self._is_done = result, raised, True
            self._changed.notify_all()
        for action in self._waiting:
            action()
