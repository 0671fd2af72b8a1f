"""``models``: search models, list them, show one, or save models as JSON files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kosmolua.cli import listing, output
from kosmolua.cli import options as options_
from kosmolua.cli.host import host_of
from kosmolua.errors import UsageError
from kosmolua.replicate.shape import mapping
from kosmolua.replicate.token import quoted
from kosmolua.terminal.safe import safe

if TYPE_CHECKING:
    import argparse

    from kosmolua.cli.options import Options

ACTIONS = {
    "search WORDS": "search public models",
    "list": "list public models",
    "show MODEL": "show a model's inputs and output; options: kosmo models show --help",
    "pull MODEL ...": "save models as JSON files, for the emulator's --models",
}


def run(command: str, argv: list[str]) -> int:
    argv = _with_action(argv)
    if argv[0] == "show":
        from kosmolua.cli import model

        return model.run(f"{command} show", argv[1:])
    parsed = _parser(command).parse_intermixed_args(argv)
    options = options_.shared(parsed)
    if parsed.action == "pull":
        return _pull(command, parsed, options)
    if parsed.action == "search" and not parsed.words:
        raise UsageError("missing words to search for", hint=f"kosmo {command} search upscale")
    if parsed.action == "list" and parsed.words:
        raise UsageError(
            f"list does not take search words, got {quoted(parsed.words[0])}", hint=f"kosmo {command} search WORDS"
        )
    with host_of(options, isolation="none") as host:
        if options.dry_run:
            call = ("list_models", {}) if parsed.action == "list" else ("search", {"query": " ".join(parsed.words)})
            return listing.show(options, {"request": host.call(*call)}, "")
        if parsed.action == "list":
            found = listing.items(host, "list_models", {}, parsed.limit)
        else:
            limit = min(parsed.limit or 50, 50)  # the most that the API takes
            answer = mapping(host.call("search", {"query": " ".join(parsed.words), "limit": limit}))
            listed = answer.get("models")
            found = [dict(mapping(mapping(one).get("model"))) for one in listed] if isinstance(listed, list) else []
    nothing = f"no models found; search for other words: kosmo {command} search WORDS"
    head = ("model", "runs", "description")
    return listing.show(options, {"models": found}, listing.rows(head, [*map(_row, found)], nothing))


def _with_action(argv: list[str]) -> list[str]:
    """The words, preceded by an action if they have none: show for a model, list if there are no words."""
    first = next((word for word in argv if not word.startswith("-")), None)
    if first is None:
        return argv if {"-h", "--help"} & set(argv) else ["list", *argv]
    return ["show", *argv] if "/" in first else argv


def _parser(command: str) -> options_.Parser:
    made = options_.parser(
        command,
        "Search, list, show or save public models. Without an action, owner/name is shown.",
        f"kosmo {command} search upscale image\n  kosmo {command} show black-forest-labs/flux-schnell\n"
        f"  kosmo {command} pull black-forest-labs/flux-schnell --output models",
    )
    options_.add_action(made, ACTIONS)
    made.add_argument("words", nargs="*", metavar="WORDS", help="search: words; show, pull: owner/name")
    made.add_argument(
        "--output", metavar="DIR", default="models", help="pull: save DIR/owner/name.json (default: models)"
    )
    listing.add_flags(made, ", search")
    return made


def _pull(command: str, parsed: argparse.Namespace, options: Options) -> int:
    """Save models as JSON files that the emulator's ``--models`` accepts."""
    if not parsed.words:
        raise UsageError("missing models to save", hint=f"kosmo {command} pull owner/name")
    calls = [_call(command, word) for word in parsed.words]
    saved = []
    with host_of(options, isolation="none") as host:
        if options.dry_run:
            return listing.show(options, {"requests": [host.call("get_model", call) for call in calls]}, "")
        for call in calls:
            document = host.call("get_model", call)
            path = os.path.join(parsed.output, call["model_owner"], f"{call['model_name']}.json")
            _save(path, output.to_json(document).encode() + b"\n")
            saved.append(path)
    return listing.show(options, {"saved": saved}, safe("\n".join(saved)))


def _call(command: str, word: str) -> dict[str, str]:
    found = re.fullmatch(r"([A-Za-z0-9][\w.-]*)/([A-Za-z0-9][\w.-]*)", word)
    if not found:
        raise UsageError(f"expected owner/name, got {quoted(word)}", hint=f"find models: kosmo {command} search WORDS")
    return {"model_owner": found[1], "model_name": found[2]}


def _save(path: str, content: bytes) -> None:
    from kosmolua.settings.atomic import replace

    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        replace(path, content, 0o644)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", hint="choose another --output directory") from None


def _row(model: Mapping[str, Any]) -> tuple[str, ...]:
    count = model.get("run_count")
    return (
        f"{listing.text_of(model.get('owner'))}/{listing.text_of(model.get('name'))}",
        f"{count:,}" if isinstance(count, int) else "",
        " ".join(listing.text_of(model.get("description")).split())[:160],
    )
