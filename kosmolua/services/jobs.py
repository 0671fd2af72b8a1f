"""Waits for predictions and trainings as one request of a script."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from kosmolua.errors import ApiError
from kosmolua.services.arguments import Arguments, Name
from kosmolua.services.poller import Pollers, Wait

if TYPE_CHECKING:
    from kosmolua.gate.run import Ticket
    from kosmolua.gate.session import Session


class Await(Arguments, frozen=True, kw_only=True):
    """A prediction or training to wait for, until ``deadline`` in Unix seconds."""

    id: Name
    kind: Literal["prediction", "training"] = "prediction"
    deadline: Annotated[float, Meta(ge=0, le=2e11)] | None = None

    @property
    def read(self) -> tuple[str, dict[str, Any]]:
        """The function that reads the job, and its arguments."""
        return f"get_{self.kind}", {f"{self.kind}_id": self.id}


def watch(
    session: Session,
    pollers: Pollers,
    account: str,
    job: tuple[str, str],
    ready: Callable[[], None],
    deadline: float | None,
) -> Callable[[], None]:
    """Call ``ready`` when the job, given as kind and id, has ended. Returns a function that stops the watch."""
    base_url = session.base_url(account)
    wait, poller = (
        Wait(*job, session.host_calls.reader(account, "wait"), base_url, ready, deadline),
        pollers.of(base_url, account),
    )
    poller.add(wait)
    return lambda: poller.remove(wait)


class Jobs:
    """The waits of one run. ``session`` opens its session, ``pollers`` are shared by all runs of a host."""

    def __init__(self, session: Callable[[], Session], pollers: Pollers) -> None:
        self._session = session
        self._pollers = pollers

    def watch(self, asked: Await, ready: Callable[[], None]) -> Callable[[], None] | None:
        """Call ``ready`` when the job has ended. Returns a function that stops the watch; None if the policy refuses
        the read or says to ask.
        """
        session = self._session()
        if not session.may_read(*asked.read, asked.account):
            return None
        account = session.account_of(asked.account)
        return watch(session, self._pollers, account, (asked.kind, asked.id), ready, asked.deadline)

    def read(self, asked: Await, ticket: Ticket | None) -> Any:
        """The prediction or training in its current state."""
        function, arguments = asked.read
        data = self._session().call(function, arguments, asked.account, ticket=ticket).data
        if isinstance(data, dict) and data.get("id") not in (asked.id, None):
            about = f"the answer is about {data['id']}, not about {asked.id}"
            raise ApiError(f"{function}: {about}"[:400], status=200)
        return data
