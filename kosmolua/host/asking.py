"""Options for runs on this machine that wait for approvals. The approvals are kept in the state directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from kosmolua.gate.approval import Asking
from kosmolua.journal.approvals import TIMEOUT, Approval, fields_of
from kosmolua.journal.local_approvals import ApprovalFile, LocalQuestions, local_rules
from kosmolua.runtime.parking import Parking
from kosmolua.services import notices
from kosmolua.settings import approvers, config

if TYPE_CHECKING:
    from kosmolua.host.run_options import ScriptOptions
    from kosmolua.journal.journal import Journal


def may_decide(journal: Journal, named: list[str] | None) -> bool:
    """Whether the user may decide the approvals of the run. ``named`` narrows who may decide."""
    settings, user = config.load(os.environ).approvals, approvers.current()
    before = ApprovalFile(os.environ).narrowed(journal.facts["id"])
    return local_rules(settings, named, before).objection(user, user) is None


@contextmanager
def asking(
    journal: Journal, tell: Callable[[str], None], timeout: float = TIMEOUT, named: list[str] | None = None
) -> Iterator[ScriptOptions]:
    """The options of a run that ends when it only waits for people's decisions, and is continued after them. ``tell``
    gets the reason if nobody could be notified. ``named`` narrows who may decide.
    """
    settings, user = config.load(os.environ).approvals, approvers.current()
    notices.check(settings.notify)

    def ask(one: Approval) -> None:
        told.send(notices.message_of(fields_of(one)))

    with closing(notices.Notices(settings.notify, tell)) as told:
        file = ApprovalFile(os.environ)
        asks = LocalQuestions(
            file, journal, submitted_by=user, timeout=timeout, tell=ask, settings=settings, approvers=named
        )
        with closing(asks) as questions:
            yield {"asking": Asking(questions), "parking": Parking(journal, leave=questions.leave)}
