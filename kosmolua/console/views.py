"""The views: what each page shows and each form does. Each view turns a checked request into HTML or a redirect."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from kosmolua.console import assets, story
from kosmolua.console.access import Secret, Visitor
from kosmolua.console.layout import Frame, basename, cut, page
from kosmolua.console.pages import approvals, budgets, run, runs, schedules, workers
from kosmolua.console.requests import CheckedRequest, Refusal
from kosmolua.journal.approvals import Approval, Verdict, check_approver
from kosmolua.page.markup import Html
from kosmolua.settings.approvers import ANYBODY, THROUGH
from kosmolua.worker import approvals as database_approvals
from kosmolua.worker import overview
from kosmolua.worker import runs as database_runs
from kosmolua.worker import schedules as database_schedules
from kosmolua.worker.ledger import SharedLedger

if TYPE_CHECKING:
    from kosmolua.replicate.prices import Prices
    from kosmolua.settings.config import Allowance, Approving
    from kosmolua.worker.database import Database

VERSION = hashlib.sha256((assets.console_stylesheet() + assets.script()).encode()).hexdigest()[:12]
VERDICTS: dict[str, Verdict] = {"approved": "approved", "denied": "denied"}
NO_RUN, LIST_RUNS = "There is no such run.", "List them: kosmo runs list --database"
SAID = {
    "canceled": "The run is canceled.",
    "canceling": "The run ends within seconds.",
    "resumed": "The run continues as soon as a worker has a free slot.",
    "approved": "Approved. The run continues.",
    "denied": "Denied. The script gets the reason.",
    "pause": "The schedule is paused.",
    "resume": "The schedule continues with its next slot.",
    "run": "A run of the schedule was added.",
    "unchanged": "Nothing was changed, since the state of the run has changed.",
}


class Settings(Struct, frozen=True, kw_only=True):
    """``tell`` gets a message about each change and who made it, for the operator's log. Without ``secrets`` there is
    no login: the visitor has this ``name`` and may do everything. ``public_url`` is the URL under which browsers reach
    the console, unless that is this machine's own address.
    """

    prices: Callable[[], Prices]
    approvals: Callable[[], Approving]
    budgets: Callable[[], Sequence[Allowance]]
    tell: Callable[[str], None]
    secrets: tuple[Secret, ...] = ()
    public_url: str = ""
    name: str = "console"


class Redirect(Struct, frozen=True):
    """Redirect the browser to that path."""

    path: str


class Views:
    """The views. Each call runs in a worker thread."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    # Pages --------------------------------------------------------------------------------------------------------

    def runs(self, asked: CheckedRequest) -> Html:
        wanted = runs.filter_of(asked.query)
        listed = overview.page(self._database, wanted, runs.LIMIT)
        counts = overview.counts(self._database, wanted)
        content = runs.content(listed, wanted, counts, self._now())
        is_live = any(row.state in overview.LIVE for row in listed.rows)
        return self._page(asked, "Runs", "runs", content, live=True, refresh=is_live)

    def run(self, asked: CheckedRequest) -> Html:
        detail = overview.detail(self._database, asked.place["run"], story.MAX_VALUE, story.MAX_RESULTS)
        if detail is None:
            raise Refusal(404, NO_RUN, LIST_RUNS)
        shown = story.shown(self._database, detail, self._settings.prices(), self._now())
        content = run.content(shown, asked.visitor, self._now())
        is_live = detail.state in overview.LIVE
        return self._page(asked, cut(basename(detail.script), 80), "runs", content, live=True, refresh=is_live)

    def workers(self, asked: CheckedRequest) -> Html:
        content = workers.content(overview.workers(self._database), self._now())
        return self._page(asked, "Workers", "workers", content, live=True)

    def approvals(self, asked: CheckedRequest) -> Html:
        waiting = database_approvals.listed(self._database, limit=approvals.LIMIT)
        done = overview.decided_approvals(self._database, approvals.DECIDED)
        decided = [database_approvals.find(self._database, each) for each in done]
        more = overview.open_approvals(self._database) - len(waiting)
        content = approvals.content(waiting, more, decided, asked.visitor, self._now())
        return self._page(asked, "Approvals", "approvals", content, live=True)

    def approval(self, asked: CheckedRequest) -> Html:
        one = self._approval(asked.place["approval"])
        content = approvals.single(one, asked.visitor, self._now())
        return self._page(asked, f"Approval {one.id}", "approvals", content, live=True)

    def schedules(self, asked: CheckedRequest) -> Html:
        content = schedules.content(database_schedules.listed(self._database), asked.visitor, self._now())
        return self._page(asked, "Schedules", "schedules", content, live=True)

    def budgets(self, asked: CheckedRequest) -> Html:
        totals = SharedLedger(self._database).totals(self._settings.budgets())
        content = budgets.content(totals, overview.spending(self._database, budgets.DAYS), self._now())
        return self._page(asked, "Budgets", "budgets", content, live=True)

    # Forms --------------------------------------------------------------------------------------------------------

    def cancel(self, asked: CheckedRequest) -> Redirect:
        found = asked.place["run"]
        state = database_runs.cancel(self._database, found)
        if state == "unknown":
            raise Refusal(404, NO_RUN, LIST_RUNS)
        self._note(asked.visitor, f"canceled run {found}")
        said = {"canceled": "canceled", "running": "canceling"}.get(state, "unchanged")
        return Redirect(f"/runs/{found}?said={said}")

    def resume(self, asked: CheckedRequest) -> Redirect:
        found = asked.place["run"]
        if overview.detail(self._database, found, 0, 0) is None:
            raise Refusal(404, NO_RUN, LIST_RUNS)
        resumed = database_runs.resume(self._database, found)
        self._note(asked.visitor, f"resumed run {found}")
        return Redirect(f"/runs/{found}?said={'resumed' if resumed else 'unchanged'}")

    def decide(self, asked: CheckedRequest) -> Redirect:
        """Approve or deny either all of the questions or none, as the visitor. The configuration of this machine, and
        of the worker that continues the run, says who may decide.
        """
        verdict, shown = VERDICTS.get(asked.form.get("verdict", "")), approvals.chosen(asked.form.get("questions", ""))
        found = [self._approval(each) for each in shown]
        if verdict is None or not found or any(each.digest != shown[each.id] for each in found):
            raise Refusal(400, "Expected a decision about the arguments that the page showed.", "Open the page again.")
        visitor, settings = asked.visitor, self._settings.approvals()
        for each in found:
            check_approver(settings, each, visitor.name, own=False, reread=self._reread)
        reason = asked.form.get("reason", "").strip()[: approvals.REASON] or None
        acting = THROUGH if self._settings.secrets else ANYBODY
        database_approvals.decide(self._database, list(shown), verdict, visitor.name, acting=acting, reason=reason)
        for each in found:
            self._note(visitor, f"{verdict} {each.id}: {each.function} of run {each.run}")
        run_of = asked.place.get("run")
        return Redirect(f"/runs/{run_of}?said={verdict}" if run_of else f"/approvals?said={verdict}")

    def _reread(self, one: Approval) -> Approval:
        return database_approvals.reread(self._database, one)

    def schedule(self, asked: CheckedRequest) -> Redirect:
        """Pause or resume a schedule, or add a run of it now."""
        name, action = asked.place["schedule"], asked.place["action"]
        actions = {
            "pause": database_schedules.pause,
            "resume": database_schedules.resume,
            "run": database_schedules.run_now,
        }
        if action not in actions:
            raise Refusal(404, "There is no such action.")
        actions[action](self._database, name)
        self._note(asked.visitor, f"{action} schedule {name}")
        return Redirect(f"/schedules?said={action}")

    # ----------------------------------------------------------------------------------------------------------------

    def _approval(self, identifier: str) -> Approval:
        return database_approvals.find(self._database, identifier)

    def _page(self, asked: CheckedRequest, title: str, active: str, content: list[Html], **more: Any) -> Html:
        frame = Frame(
            title=title,
            active=active,
            visitor=asked.visitor,
            now=self._now(),
            pending=overview.open_approvals(self._database),
            version=VERSION,
            said=SAID.get(asked.query.get("said", ""), ""),
            has_login=bool(self._settings.secrets),
            **more,
        )
        return page(frame, content)

    def _now(self) -> float:
        return self._database.now()

    def _note(self, visitor: Visitor, what: str) -> None:
        """Report who changed something."""
        self._settings.tell(f"{visitor.name} {what}")
