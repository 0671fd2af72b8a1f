"""What a run created, according to its journal, and the calls that undo it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from kosmolua.journal import runs
from kosmolua.journal.arguments import NO_DATA, shown
from kosmolua.journal.records import operation_of
from kosmolua.journal.sqlite import decoded
from kosmolua.journal.store import Store
from kosmolua.replicate import catalogue
from kosmolua.replicate.catalogue import Operation
from kosmolua.replicate.results import TERMINAL


class Step(Struct, frozen=True, kw_only=True):
    """One call that undoes something. ``look`` is the read that shows whether a job is still running; empty for other
    objects.
    """

    kind: str
    what: str
    function: str
    arguments: dict[str, str]
    account: str
    look: str = ""

    def __str__(self) -> str:
        condition = ", if it is still running" if self.look else ""
        return f"{'cancel' if self.look else 'delete'} {self.kind} {self.what}{condition}"


class NotUndone(Struct, frozen=True):
    """Something that the run did and that cannot be undone, with the reason."""

    what: str
    why: str


class Undo(Struct, frozen=True):
    """What can be undone: the ``steps`` in the order to take, newest first; and what is ``left``."""

    steps: list[Step]
    left: list[NotUndone]


def plan(path: str) -> Undo:
    """What to undo, from a journal. Raises a `JournalError` for a file that is not a journal."""
    with runs.readable(path) as store:
        return plan_of(store)


def plan_of(store: Store) -> Undo:
    """What to undo, from the store of a journal inside its `hold`."""
    found = _Reader()
    own = store.facts()["account"]
    for call in store.sent():
        operation = operation_of(call.function)
        if operation and call.state == "ok" and call.value is not None:
            found.take(operation, call.account or own, call.arguments, decoded(call.value))
    for line in store.lines(answers=False):
        if line.state == "open":
            what = f"{line.began.function} {shown(line.began.arguments)}"
            found.left.append(NotUndone(what, "its outcome is unknown; resume the run to find it"))
    return found.undo()


class _Reader:
    """Reads the calls of a run in order."""

    def __init__(self) -> None:
        self.left: list[NotUndone] = []
        self._steps: dict[tuple[str, str], Step] = {}
        self._status: dict[tuple[str, str], str] = {}

    def take(self, operation: Operation, account: str, arguments: bytes, data: Any) -> None:
        answer = data if isinstance(data, dict) else {}
        if operation.creates:
            self._created(operation, operation.creates, account, answer)
        elif operation.name in catalogue.UNDO.values():
            self._removed(operation, arguments)
        elif operation.name.startswith(catalogue.CUSTOM):
            self.left.append(
                NotUndone(f"{operation.name} {shown(arguments)}", "the effect of a custom function is not known")
            )
        elif operation.access == "write":
            self.left.append(NotUndone(f"{operation.name} {shown(arguments)}", "the earlier state is not known"))
        if operation.job and isinstance(answer.get("status"), str):
            self._status[operation.job, str(answer.get("id"))] = answer["status"]

    def undo(self) -> Undo:
        steps, left = [], [*self.left]
        for (kind, what), step in reversed(self._steps.items()):
            status = self._status.get((kind, what), "")
            if kind == "prediction" and status in TERMINAL:
                left.append(NotUndone(f"prediction {what}", f"it has ended ({status}), and its cost is spent"))
            else:
                steps.append(step)
        return Undo(steps, left)

    def _created(self, operation: Operation, kind: str, account: str, answer: Mapping[str, Any]) -> None:
        by = catalogue.BY_NAME[catalogue.UNDO[operation.creates]] if operation.creates else operation
        fields = {each.name: answer.get(each.name.removeprefix(f"{kind}_")) for each in by.parameters if each.required}
        if not all(isinstance(value, str) for value in fields.values()):
            self.left.append(NotUndone(f"{operation.name}", "its answer does not show what was created"))
            return
        arguments = {name: str(value) for name, value in fields.items()}
        what = "/".join(arguments.values())
        look = operation.proof.read if operation.starts and operation.proof else ""
        self._steps[kind, what] = Step(
            kind=kind, what=what, function=by.name, arguments=arguments, account=account, look=look
        )

    def _removed(self, operation: Operation, arguments: bytes) -> None:
        """Note that the run itself has undone something, or removed something older."""
        kind = next(noun for noun, name in catalogue.UNDO.items() if name == operation.name)
        try:
            given = msgspec.msgpack.decode(arguments)
            what = "/".join(str(given[each.name]) for each in operation.parameters if each.required)
        except (*NO_DATA, KeyError):
            return
        if operation.job is None and self._steps.pop((kind, what), None) is None:
            self.left.append(NotUndone(f"{operation.name} {what}", "a deleted object cannot be restored"))
