"""What is known about a run before its journal is read."""

from __future__ import annotations

from msgspec import Struct

from kosmolua.journal.records import Facts, Head


class Last(Struct, frozen=True):
    """The last start of a run: the digest of its script, and how it ended, if it did."""

    digest: str
    ended: float | None = None
    ok: bool | None = None
    error: str | None = None


class Before(Struct, frozen=True, kw_only=True):
    """What was read when the run was claimed, so that it need not be read again. A ``fresh`` run has no journal yet."""

    facts: Facts
    fresh: bool
    interrupted: bool = True  # whether calls may have been interrupted
    last: Last | None = None


def facts_of(run: str, head: Head, began: float, seed: int) -> Facts:
    return Facts(
        id=run,
        script=head.script,
        source=head.source,
        args=head.args,
        account=head.account,
        emulated=int(head.emulated),
        prompt=0,
        directory="",
        began=began,
        seed=seed,
        awaits=1,
    )
