"""One entry in the log of calls. A separate module, so that `Result` can use it without loading the gate."""

from __future__ import annotations

from msgspec import Struct


class Entry(Struct, omit_defaults=True, gc=False):
    """One call in the log: the decision, its rule, who decided, and the outcome. No inputs, no answers.

    ``at`` is in Unix seconds; ``duration_ms`` covers sending and waiting. ``by`` is "policy", "person" or "force".
    ``outcome`` is "ok", "error", "refused", "dry_run", or "asked" if it waits for an approval; ``code`` is the error
    code. ``note`` says why a library function made the call, if that is not obvious. ``estimate`` is the cost reserved
    for the job that the call starts; ``cost`` is the cost of the jobs that the call's answer shows as ended; None if no
    price is known. ``run`` is the id of the run, for callbacks.
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
    run: str = ""
