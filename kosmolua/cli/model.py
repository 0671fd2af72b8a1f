"""``model``: show a model's inputs and output, from the schema of its version."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from kosmolua.cli import options as options_
from kosmolua.cli import output
from kosmolua.cli.host import host_of
from kosmolua.cli.options import Options
from kosmolua.errors import UsageError
from kosmolua.manual.model_page import MAX_WORDS, described, shown
from kosmolua.replicate.shape import mapping
from kosmolua.replicate.versions import Reference, parse
from kosmolua.settings.config import account_flag

if TYPE_CHECKING:
    import argparse


def run(command: str, argv: list[str]) -> int:
    parsed = _parser(command).parse_args(argv)
    options, reference = options_.shared(parsed), of_model(parsed.model)
    with host_of(options, isolation="none") as host:
        arguments = {"model_owner": reference.owner, "model_name": reference.name}
        model = mapping(host.call("get_model", arguments))
        if options.dry_run:
            output.show_json(model)
            return 0
        versions = host.versions()
        version = versions.find(parsed.model) if reference.version else versions.keep(model)
    data = described(reference, model, version, _flags(options), whole=parsed.all)
    if options.json:
        output.show_json({"success": True, **data})
    else:
        output.write_text(shown(data, whole=parsed.all) + "\n")
    return 0


def _parser(command: str) -> argparse.ArgumentParser:
    made = options_.parser(
        command,
        "Show a model: its inputs with defaults and ranges, its output, and an example.",
        f"kosmo {command} black-forest-labs/flux-schnell",
    )
    made.add_argument("model", metavar="MODEL", help="owner/name or owner/name:version")
    made.add_argument(
        "--all", action="store_true", help=f"show whole defaults, and enums of more than {MAX_WORDS} values"
    )
    options_.add_shared(made)
    return made


def of_model(text: str) -> Reference:
    """Parse a reference to a model. Raises a `UsageError` for any other text."""
    reference = parse(text)
    if reference.deployment or not reference.name:
        what = "a deployment" if reference.deployment else "a version id"
        raise UsageError(f"expected owner/name or owner/name:version, got {what}")
    return reference


def _flags(options: Options) -> str:
    """The flags with which `kosmo run` uses the same account or emulator."""
    account = account_flag(options.account)
    models = f" --models {quote(options.models)}" if options.models else ""
    cogs = "".join(f" --cog {quote(each)}" for each in options.cog)
    return ("--emulate" if options.emulate else "--write allow") + models + cogs + account
