"""``models``: search models, list them, or show one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kosmolua.cli import listing
from kosmolua.cli import options as options_
from kosmolua.cli.host import host_of
from kosmolua.errors import UsageError
from kosmolua.replicate.shape import mapping
from kosmolua.replicate.token import quoted

ACTIONS = ("search", "list", "show")


def run(command: str, argv: list[str]) -> int:
    argv = _with_action(argv)
    if argv[0] == "show":
        from kosmolua.cli import model

        return model.run(f"{command} show", argv[1:])
    parsed = _parser(command).parse_intermixed_args(argv)
    options = options_.shared(parsed)
    if parsed.action == "search" and not parsed.words:
        raise UsageError("missing words to search for", hint=f"kosmo {command} search upscale")
    if parsed.action != "search" and parsed.words:
        raise UsageError(f"list takes no words, got {quoted(parsed.words[0])}", hint=f"kosmo {command} search WORDS")
    with host_of(options, isolation="none") as host:
        if options.dry_run:
            call = ("list_models", {}) if parsed.action == "list" else ("search", {"query": " ".join(parsed.words)})
            return listing.show(parsed, options, {"request": host.call(*call)}, "")
        if parsed.action == "list":
            found = listing.items(host, "list_models", {}, parsed.limit)
        else:
            limit = min(parsed.limit or 50, 50)  # the most that the API takes
            answer = mapping(host.call("search", {"query": " ".join(parsed.words), "limit": limit}))
            listed = answer.get("models")
            found = [dict(mapping(mapping(one).get("model"))) for one in listed] if isinstance(listed, list) else []
    nothing = f"no models found; search for other words: kosmo {command} search WORDS"
    head = ("model", "runs", "description")
    return listing.show(parsed, options, {"models": found}, listing.rows(head, [*map(_row, found)], nothing))


def _with_action(argv: list[str]) -> list[str]:
    """The words with the action that they mean: a reference is shown, and no words are a list."""
    first = next((word for word in argv if not word.startswith("-")), None)
    if first is None:
        return argv if {"-h", "--help"} & set(argv) else ["list", *argv]
    return ["show", *argv] if "/" in first else argv


def _parser(command: str) -> options_.Parser:
    made = options_.parser(
        command,
        "Search public models, list them, or show the inputs and output of one.",
        f"kosmo {command} search upscale image\n  kosmo {command} show black-forest-labs/flux-schnell",
    )
    made.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="what to do (default: list)")
    made.add_argument("words", nargs="*", metavar="WORDS", help="search: words; show: owner/name")
    listing.add_flags(made)
    return made


def _row(model: Mapping[str, Any]) -> tuple[str, ...]:
    count = model.get("run_count")
    return (
        f"{listing.text_of(model.get('owner'))}/{listing.text_of(model.get('name'))}",
        f"{count:,}" if isinstance(count, int) else "",
        " ".join(listing.text_of(model.get("description")).split())[:160],
    )
