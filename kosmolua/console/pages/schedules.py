"""The page with the schedules: what runs when, and the result of each schedule's last run."""

from __future__ import annotations

from collections.abc import Sequence

from kosmolua.console.access import Visitor
from kosmolua.console.layout import basename, cut, empty, form, link, table, when
from kosmolua.page.details import badge
from kosmolua.page.markup import Html, Value, exact, fill
from kosmolua.worker.schedules import Schedule

ACTIONS = ("pause", "resume", "run")
_NAMES, _ERROR = 80, 200
_HEADS = ("Schedule", "State", "When", "Next", "Last run", "Account")
_COMMAND = "kosmo schedule add nightly '0 3 * * *' flow.lua --tz Europe/Berlin"


def content(found: Sequence[Schedule], visitor: Visitor, now: float) -> list[Html]:
    head = Html('<div class="head"><h1>Schedules</h1></div>\n')
    if not found:
        return [head, empty("No schedules", "Run a script at recurring times:", _COMMAND)]
    heads = (*_HEADS, "Actions") if visitor.may_approve else _HEADS
    rows = [(*_cells(each, now), *((_actions(each, visitor),) if visitor.may_approve else ())) for each in found]
    return [head, table("schedules", "Schedules by name", heads, rows)]


def _cells(one: Schedule, now: float) -> tuple[Value, ...]:
    script = cut(basename(one.script), _NAMES)
    skipped = f"{one.skipped} slot{'s' * (one.skipped != 1)} skipped" if one.skipped else ""
    about = one.error and cut(one.error, _ERROR)
    return (
        fill('<b>{}</b><br><span class="soft" title="{}">{}</span>', one.name, one.script, script),
        fill('{}<span class="about">{}</span>', _state(one), about or skipped),
        fill('<code>{}</code> <span class="about">{}, overlap: {}</span>', one.cron, one.zone, one.overlap),
        when(one.next, now) if not one.paused else None,
        _last(one, now),
        cut(one.account, _NAMES // 2),
    )


def _state(one: Schedule) -> Html:
    if one.error:
        return badge("failed", "error")
    if one.paused:
        return badge("paused")
    return badge("running", "runs now") if one.active else badge("done", "active")


def _last(one: Schedule, now: float) -> Html | None:
    if one.last_run is None:
        return None
    slot = fill(" {}", when(one.last_slot, now)) if one.last_slot is not None else None
    return fill("{}{}", link(f"/runs/{one.last_run}", badge(one.last_state or "removed")), slot)


def _actions(one: Schedule, visitor: Visitor) -> Html:
    shown = [("resume", "Resume") if one.paused else ("pause", "Pause"), ("run", "Run now")]
    return fill('<div class="buttons">{}</div>', [_button(one, visitor, *each) for each in shown])


def _button(one: Schedule, visitor: Visitor, action: str, words: str) -> Html:
    label = fill('<button class="plain">{}<span class="hidden"> {}</span></button>', words, one.name)
    return form(visitor, f"/schedules/{exact(one.name)}/{action}", label)
