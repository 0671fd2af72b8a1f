"""Runs of this machine that wait for approvals, which are kept in the state directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from kosmolua.cli.host import print_notice
from kosmolua.gate.approval import Asking
from kosmolua.journal.approvals import Approval, fields_of
from kosmolua.journal.journal import Journal
from kosmolua.journal.local_approvals import ApprovalFile, LocalQuestions
from kosmolua.runtime.parking import Parking
from kosmolua.services import notices
from kosmolua.settings import approvers, config

if TYPE_CHECKING:
    from kosmolua.cli.options import Options
    from kosmolua.journal.cassette import Cassette


@contextmanager
def asking(options: Options, journal: Journal | Cassette | None, timeout: float) -> Iterator[dict[str, Any]]:
    """The options of a run that ends when it only waits for persons, to be run again when they have decided."""
    if not isinstance(journal, Journal) or options.force or options.dry_run:
        yield {}
        return
    settings, user = config.load(os.environ).approvals, approvers.current()
    notices.check(settings.notify)
    told = notices.Notices(settings.notify, print_notice)

    def objection(by: str) -> str:
        found = approvers.objection(settings, by, user, own=True)
        return found[0] if found else ""

    def tell(one: Approval) -> None:
        told.send(notices.message_of(fields_of(one)))

    with ExitStack() as stack:
        stack.enter_context(closing(told))
        questions = stack.enter_context(
            closing(
                LocalQuestions(
                    ApprovalFile(os.environ),
                    journal,
                    submitted_by=user,
                    timeout=timeout,
                    tell=tell,
                    objection=objection,
                )
            )
        )
        yield {"asking": Asking(questions), "parking": Parking(journal, leave=questions.leave)}
