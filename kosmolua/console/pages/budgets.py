"""The page with the budgets for all runs, and the spending by day and account."""

from __future__ import annotations

from collections.abc import Sequence

from kosmolua.console.layout import empty, money, table, when
from kosmolua.gate.ledger import Total
from kosmolua.page.markup import Html, fill
from kosmolua.worker.overview import Spending

DAYS = 31
_BUDGETS = ("Budget", "Used", "Spent", "Reserved", "Predictions", "Limit", "Counts", "Renews")
_DAYS = ("Day (UTC)", "Account", "Spent", "Reserved", "Predictions", "Unknown price")


def content(totals: Sequence[Total], days: Sequence[Spending], now: float) -> list[Html]:
    head = Html('<div class="head"><h1>Budgets</h1></div>\n')
    note = Html('<p class="note">The budgets of this machine; each worker follows its own configuration.</p>\n')
    if totals:
        shown = table("budgets", "Budgets for all runs", _BUDGETS, [_budget(total, now) for total in totals])
    else:
        shown = empty("No budgets", "Limit the daily cost of all runs:", "kosmo budget set daily --cost 5 --per day")
    return [head, note, shown, Html(f"<h2>Spending of the last {DAYS} days</h2>\n"), _spending(days)]


def _spending(days: Sequence[Spending]) -> Html:
    if not days:
        return Html('<p class="note">Nothing has been charged yet. Charges are recorded once there is a budget.</p>\n')
    rows = [
        (
            each.day,
            each.account,
            money(each.spent),
            money(each.reserved) if each.reserved else None,
            each.predictions,
            each.unpriced or None,
        )
        for each in days
    ]
    return table("spending", "Spending by day and account, newest first", _DAYS, rows)


def _budget(total: Total, now: float) -> tuple[Html | str | int, ...]:
    budget, share = total.budget, float(total.share)
    used = f"{share:.0%}"
    limits = [f"cost {budget.cost:g}"] if budget.cost is not None else []
    limits += [f"{budget.predictions} predictions"] if budget.predictions is not None else []
    counts = [f"{name} {value}" for name in ("account", "script", "caller") if (value := getattr(budget, name))]
    meter = fill(
        '<meter min="0" max="1" low="0.8" high="0.95" optimum="0" value="{}" aria-label="{} used"></meter> {}',
        *(min(1.0, share), used, used),
    )
    return (
        budget.name,
        meter,
        money(total.spent) + (f" and {total.unpriced} of unknown price" if total.unpriced else ""),
        money(total.reserved),
        total.predictions,
        f"{' and '.join(limits)} a {budget.period}",
        ", ".join(counts) or "all calls",
        when(total.renews, now),
    )
