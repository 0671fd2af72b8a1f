"""One entry in the log of calls. A module of its own, so that a `Result` can name it without the gate."""

from __future__ import annotations

from msgspec import Struct


class Entry(Struct, omit_defaults=True, gc=False):
    """One call in the log: what was decided, by which rule and by whom, and what came of it. No inputs, no answers.

    ``at`` is in Unix seconds, ``duration_ms`` covers sending and waiting. ``by`` is "policy", "person" or "force".
    ``outcome`` is "ok", "error", "refused" or "dry_run"; ``code`` says which error or refusal. ``note`` is why a
    helper made the call, where that is not plain. ``estimate`` is what was reserved for what it starts, ``cost`` what
    a prediction cost that its answer shows to have ended; None where no price is known.
    """

    function: str
    account: str
    access: str
    at: float
    decision: str = ""
    rule: str = ""
    by: str = ""
    outcome: str = "error"
    code: str | None = None
    status: int | None = None
    request_id: str | None = None
    duration_ms: float = 0.0
    note: str = ""
    estimate: float | None = None
    cost: float | None = None
