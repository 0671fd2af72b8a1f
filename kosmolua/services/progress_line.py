"""The state of a run in one line for people."""

from __future__ import annotations

from msgspec.structs import replace

from kosmolua.replicate.results import STATUSES
from kosmolua.services.progress import Summary

_RUNNING = ("starting", "processing")


def text_of(summary: Summary, elapsed: float, name: str = "") -> str:
    """The state of the run in one line; empty if the run waits for nothing. ``name`` is the model, if known."""
    states = _states(summary)
    if states:
        model = summary.model or name
        states[0] = f"{model}: {states[0]}" if model else states[0]
    downloads = [_download(*each) for each in summary.downloads[:1]]
    if len(summary.downloads) > 1:
        downloads.append(f"{len(summary.downloads) - 1} more downloads")
    compute = [f"{summary.seconds:.1f} s of compute"] if summary.seconds else []
    parts = [*states, *compute, *downloads]
    return ", ".join([clock(elapsed), *parts]) if parts else ""


def _states(summary: Summary) -> list[str]:
    """The predictions by state, without a number if there is only one."""
    single = summary.creating + sum(summary.states.values()) == 1
    creating = ["being created" if single else f"{summary.creating} being created"] if summary.creating else []
    percent = "" if summary.percent is None else f" ({summary.percent}%)"
    return creating + [
        ("" if single else f"{count} ") + state + (percent if state == "processing" else "")
        for state, count in _ordered(summary.states)
    ]


def _ordered(states: dict[str, int]) -> list[tuple[str, int]]:
    return [(state, states[state]) for state in STATUSES if state in states]


def _download(path: str, received: int, total: int | None) -> str:
    if total:
        return f"{path} {100 * received // total}% of {amount(total)}"
    return f"{path} {amount(received)}"


def clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def amount(size: float) -> str:
    """A size for people, such as 1.5 MB."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004 - decimal units
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def running(summary: Summary) -> str:
    """The predictions that have not ended, without times; empty if there are none."""
    left = {state: count for state, count in summary.states.items() if state in _RUNNING}
    states = _states(replace(summary, states=left))
    return f"{summary.model}: {', '.join(states)}" if states and summary.model else ", ".join(states)
