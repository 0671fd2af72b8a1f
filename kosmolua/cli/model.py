"""``model``: show a model's inputs and output, from the schema of its version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kosmolua.cli import options as options_
from kosmolua.cli import output
from kosmolua.cli.host import host_of
from kosmolua.cli.model_example import example
from kosmolua.cli.options import Options
from kosmolua.errors import UsageError
from kosmolua.replicate.inputs import Input
from kosmolua.replicate.outputs import output_words
from kosmolua.replicate.ranges import bounds
from kosmolua.replicate.shape import mapping
from kosmolua.replicate.versions import Reference, Version, parse
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import heading, table, wrapped

if TYPE_CHECKING:
    import argparse

_MAX_DEFAULT = 30  # characters of a default
_MAX_WORDS = 12  # of an enum


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
    data = described(reference, model, version, options, whole=parsed.all)
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
        "--all", action="store_true", help=f"show whole defaults, and enums of more than {_MAX_WORDS} values"
    )
    options_.add_shared(made)
    return made


def of_model(text: str) -> Reference:
    """Parse a reference to a model. Raises a `UsageError` for any other."""
    reference = parse(text)
    if reference.deployment or not reference.name:
        what = "a deployment" if reference.deployment else "a version id"
        raise UsageError(f"expected owner/name or owner/name:version, got {what}")
    return reference


def described(
    reference: Reference, model: Mapping[str, Any], found: Version | None, options: Options, *, whole: bool = False
) -> dict[str, Any]:
    """The page as data. ``model`` is an answer of get_model, of any form; ``whole`` lists long enums whole."""
    version = found or Version("", None)
    count = model.get("run_count")
    return {
        "model": f"{reference.owner}/{reference.name}",
        "description": _text(model.get("description")),
        "visibility": _text(model.get("visibility")),
        "official": model.get("is_official") is True,
        "run_count": count if isinstance(count, int) else None,
        "url": _text(model.get("url")),
        "latest_version": _text(mapping(model.get("latest_version")).get("id")),
        "version": version.id or None,
        "inputs": [{**field.to_dict(), "takes": _takes(field, whole=whole)} for field in version.inputs.fields],
        "output": {"type": output_words(version.schema), **version.output},
        "example": example(reference, model, version, options) if found else None,
    }


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


# Text -------------------------------------------------------------------------------------------------------------


def shown(data: Mapping[str, Any], *, whole: bool = False) -> str:
    """The page as text."""
    version = data["version"]
    rows = [_row(item, whole=whole) for item in data["inputs"]]
    parts = [
        f"{heading(_line(data['model']))}  {', '.join(_facts(data))}",
        wrapped(_line(data["description"])) if data["description"] else "",
        _versions(data),
        f"{heading('inputs')}\n{table(rows) or '  none in its schema'}" if version else "",
        f"{heading('output')}\n  {_line(data['output']['type'])}" if version else "",
        f"{heading('example')}\n  {safe(data['example'])}" if version else "",
    ]
    return "\n\n".join(filter(None, parts))


def _facts(data: Mapping[str, Any]) -> list[str]:
    count = "" if data["run_count"] is None else f"run {data['run_count']:,} times"
    return [*filter(None, [_line(data["visibility"]), "official" if data["official"] else "not official", count])]


def _versions(data: Mapping[str, Any]) -> str:
    rows = [("version", data["version"])] if data["version"] != data["latest_version"] else []
    rows.append(("latest version", data["latest_version"] or "none"))
    return table([(name, _line(value)) for name, value in rows], "")


def _row(item: Mapping[str, Any], *, whole: bool) -> tuple[str, ...]:
    takes = item["takes"]
    facts = ["Deprecated." if item.get("deprecated") else "", f"{takes[:1].upper()}{takes[1:]}." if takes else ""]
    text = " ".join(filter(None, [*facts, _line(item.get("description"))]))
    return _line(item["name"]), item["type"], _presence(item, whole=whole), text


def _takes(field: Input, *, whole: bool) -> str:
    """The range or the possible values of an input; of a long enum the first values and the count."""
    enum = field.shape.enum or (field.shape.items.enum if field.shape.items else ())
    words = [_literal(one) for one in (enum if whole else enum[:_MAX_WORDS])]
    more = f" and {len(enum) - len(words):,} more: see --all" if len(words) < len(enum) else ""
    return safe(", ".join(filter(None, [bounds(field.shape), f"one of {', '.join(words)}{more}" if words else ""])))


def _presence(item: Mapping[str, Any], *, whole: bool) -> str:
    if item["required"]:
        return "required"
    if item.get("default") is None:
        return "optional"
    text = safe(_literal(item["default"]))
    return text if whole or len(text) <= _MAX_DEFAULT else text[:_MAX_DEFAULT] + "…"


def _literal(value: Any) -> str:
    """The value as JSON writes it: blanks and line breaks in a text can be seen."""
    return output.to_json(value, indent=False)


def _line(text: str | None) -> str:
    """The words of a text on one line and safe to print, since the model's author wrote them."""
    return safe(" ".join((text or "").split()))
