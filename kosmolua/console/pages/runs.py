"""The list of runs, newest first, filtered by state and name."""

from __future__ import annotations

from collections.abc import Mapping

from kosmolua.console.layout import ago, basename, cut, duration, empty, link, money, table, when
from kosmolua.page.details import badge
from kosmolua.page.markup import Html, exact, fill, join
from kosmolua.worker.overview import LIVE, STATES, Listed, Row, RunFilter

LIMIT = 50  # runs on a page
NAMES, ERROR = 80, 120  # the maximum characters of names and errors
_HEADS = ("Run", "State", "Began", "Took", "Calls", "Cost", "Account")
CHOICES = ("all", "live", *STATES)
COMMAND = "kosmo submit flow.lua"


def filter_of(query: Mapping[str, str]) -> RunFilter:
    """The filter for the runs that a query asks for; invalid parts of the query are ignored."""
    state = query.get("state", "")
    states = LIVE if state == "live" else (state,) if state in STATES else ()
    part = query.get("q", "").strip().replace("\0", "")[:NAMES]
    return RunFilter(states=states, part=part, before=_place(query.get("before")), after=_place(query.get("after")))


def _place(text: str | None) -> tuple[float, str] | None:
    began, colon, run = (text or "").partition(":")
    try:
        at = float(began)
    except ValueError:
        return None
    return (at, run) if colon and run.isalnum() and run.isascii() and abs(at) < 1e12 else None  # noqa: PLR2004


def content(listed: Listed, wanted: RunFilter, counts: Mapping[str, int], now: float) -> list[Html]:
    chosen = "live" if wanted.states == LIVE else wanted.states[0] if wanted.states else "all"
    head = fill('<div class="head"><h1>Runs</h1>{}</div>\n', _search(wanted, chosen))
    return [head, _choices(wanted, chosen, counts), _rows(listed, wanted, now), _paging(listed, wanted, chosen)]


def _search(wanted: RunFilter, chosen: str) -> Html:
    state = fill('<input type="hidden" name="state" value="{}">', chosen) if chosen != "all" else None
    return fill(
        '<form class="search" role="search" action="/">{}<label for="q">Script or key</label>'
        '<input id="q" name="q" type="search" value="{}" maxlength="{}" autocomplete="off">'
        '<button class="plain">Search</button></form>',
        *(state, exact(wanted.part), NAMES),
    )


def _choices(wanted: RunFilter, chosen: str, counts: Mapping[str, int]) -> Html:
    numbers = {"all": sum(counts.values()), "live": sum(counts.get(state, 0) for state in LIVE), **counts}
    shown = [name for name in CHOICES if name in ("all", "live", chosen) or numbers.get(name)]
    entries = join(_choice(name, numbers.get(name, 0), wanted, current=name == chosen) for name in shown)
    return fill('<nav class="choices" aria-label="States"><ul>{}</ul></nav>\n', entries)


def _choice(name: str, number: int, wanted: RunFilter, *, current: bool) -> Html:
    words = fill("{} <span>{}</span>", name, f"{number:,}")
    made = link("/", words, _query(wanted, name))
    return fill("<li{}>{}</li>", Html(' class="chosen"') if current else None, made)


def _query(wanted: RunFilter, state: str) -> dict[str, str]:
    return {**({"state": state} if state != "all" else {}), **({"q": wanted.part} if wanted.part else {})}


def _rows(listed: Listed, wanted: RunFilter, now: float) -> Html:
    if not listed.rows:
        if wanted.states or wanted.part or wanted.before or wanted.after:
            return empty("No such runs", "No run has this state and name. Choose another state, or clear the search.")
        return empty("No runs yet", "Add one, and a worker runs it:", f"{COMMAND}\nkosmo worker")
    caption = f"Runs, newest first; {len(listed.rows)} on this page"
    return table("runs", caption, _HEADS, [_cells(row, now) for row in listed.rows])


def _cells(row: Row, now: float) -> list[Html]:
    name = link(f"/runs/{row.id}", cut(basename(row.script), NAMES), name="name")
    key = fill(' <span class="soft">{}</span>', cut(row.key, NAMES)) if row.key else None
    began = row.began if row.state != "scheduled" else None
    end = row.ended if row.ended is not None else now
    return [
        fill('{}{}<br><code class="soft">{}</code>', name, key, row.id),
        fill("{}{}", badge(row.state), _about(row, now)),
        when(row.began, now),
        fill("{}", duration(end - began) if began is not None else ""),
        fill("{}", row.calls),
        fill("{}", money(row.cost) if row.cost is not None else ""),
        fill("{}", cut(row.account, NAMES // 2)),
    ]


def _about(row: Row, now: float) -> Html:
    """A remark about the run in its current state, such as what it waits for or its error."""
    words = [f"{row.waits} prediction{'s' * (row.waits != 1)}"] if row.waits else []
    if row.approvals:
        words.append(f"{row.approvals} approval{'s' * (row.approvals != 1)}")
    if row.wakes is not None:
        verb = "begins" if row.state == "scheduled" else "wakes"
        words.append(f"{verb} {ago(now - row.wakes)}" if row.wakes > now else "due now")
    if row.error and row.state == "failed":
        words.append(cut(row.error, ERROR))
    return fill(' <span class="about">{}</span>', ", ".join(words)) if words else Html()


def _paging(listed: Listed, wanted: RunFilter, chosen: str) -> Html:
    if not (listed.newer or listed.older) or not listed.rows:
        return Html()
    first, last, query = listed.rows[0], listed.rows[-1], _query(wanted, chosen)
    links = []
    if listed.newer:
        links += [link("/", "Newest", query), link("/", "Newer", {**query, "after": f"{first.began!r}:{first.id}"})]
    if listed.older:
        links.append(link("/", "Older", {**query, "before": f"{last.began!r}:{last.id}"}))
    return fill('<nav class="paging" aria-label="More runs">{}</nav>\n', links)
