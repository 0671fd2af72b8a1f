"""The outputs of a run with a journal, and the copies that are kept next to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kosmolua.gate.session import Session
    from kosmolua.journal.cassette import Cassette
    from kosmolua.journal.journal import Journal
    from kosmolua.services.keeping import Keeping


def keep(session: Session, journal: Journal | Cassette | None, tell: Callable[[str], None], *, copies: bool) -> Keeping:
    """Let the session record when outputs were created. With ``copies`` and a journal, keep copies of the outputs,
    including those that an earlier run did not fetch.
    """
    from kosmolua.services.keeping import Keeping

    store: Outputs | None = None
    answers: Iterator[tuple[str, Any]] = iter(())
    if journal is not None:
        from kosmolua.journal.journal import Journal
        from kosmolua.journal.outputs import Outputs

        if isinstance(journal, Journal):
            store = Outputs(journal.path) if copies else None
            answers = journal.predictions()
    session.kept = made = Keeping(lambda: session, store, tell)
    made.restore(answers)
    return made


def are_missing(journal: Journal | Cassette) -> bool:
    """Whether an earlier run ended before it had fetched all outputs."""
    from kosmolua.journal.journal import Journal

    if not isinstance(journal, Journal) or not journal.last or journal.finished is not None:
        return False
    from kosmolua.journal.outputs import Outputs
    from kosmolua.services.keeping import urls_in

    store = Outputs(journal.path)
    found = (data.get("output") for _, data in journal.predictions() if isinstance(data, dict))
    return any(store.find(url) is None for output in found for url in urls_in(output))
