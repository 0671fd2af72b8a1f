"""Functions shared by commands that list objects of the API: flags, output, and a limited number of items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kosmolua.cli import options as options_
from kosmolua.cli import output
from kosmolua.replicate.shape import mapping
from kosmolua.replicate.urls import items_of
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import table

if TYPE_CHECKING:
    from kosmolua.cli.options import Options
    from kosmolua.host.host import Host

DEFAULT_LIMIT = 20


def add_flags(made: options_.Parser, more: str = "") -> None:
    """``more``: further actions with a limit."""
    made.add_argument(
        "--limit",
        type=options_.count,
        default=DEFAULT_LIMIT,
        metavar="N",
        help=f"list{more}: show at most N, 0 for all (default: {DEFAULT_LIMIT})",
    )
    options_.add_shared(made)


def show(options: Options, data: dict[str, Any], text: str) -> int:
    """Print the data with ``--json``, else the text, which is safe to print."""
    if options.json or options.dry_run:
        output.show_json({"success": True, **data})
    else:
        output.write_text(text + "\n")
    return 0


def items(host: Host, function: str, arguments: dict[str, Any], limit: int) -> list[dict[str, Any]]:
    """The first items of a list that has pages; all of them for a limit of 0."""
    found: list[dict[str, Any]] = []
    for reply in host.pages(function, arguments):
        found += [dict(mapping(item)) for item in items_of(reply.data)]
        if limit and len(found) >= limit:
            return found[:limit]
    return found


def rows(head: tuple[str, ...], cells: list[tuple[str, ...]], nothing: str) -> str:
    return table([head, *cells], "", ("bold",)) if cells else nothing


def text_of(value: Any) -> str:
    """The value if it is text, made safe to print."""
    return safe(value) if isinstance(value, str) else ""
