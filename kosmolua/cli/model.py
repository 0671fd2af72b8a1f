"""``model``: show a model's inputs and output, from the schema of its version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kosmolua.cli import options as options_
from kosmolua.cli import output
from kosmolua.cli.host import host_of
from kosmolua.cli.options import Options
from kosmolua.errors import UsageError
from kosmolua.manual.reference import literal, quoted
from kosmolua.replicate.catalogue import PROVIDER
from kosmolua.replicate.inputs import Input
from kosmolua.replicate.outputs import output_words
from kosmolua.replicate.ranges import bounds
from kosmolua.replicate.shape import mapping
from kosmolua.replicate.versions import Reference, Version, parse
from kosmolua.settings.config import DEFAULT_ACCOUNT
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import heading, table, wrapped

if TYPE_CHECKING:
    import argparse

_MAX_SHOWN = 60
_MAX_EXAMPLE = 100


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
    data = _described(reference, model, version, options)
    if options.json:
        output.show_json({"success": True, **data})
    else:
        output.write_text(_shown(_clean(data)) + "\n")
    return 0


def _parser(command: str) -> argparse.ArgumentParser:
    made = options_.parser(
        command,
        "Show a model: its inputs with defaults and ranges, its output, and an example.",
        f"kosmo {command} black-forest-labs/flux-schnell",
    )
    made.add_argument("model", metavar="MODEL", help="owner/name or owner/name:version")
    options_.add_shared(made)
    return made


def of_model(text: str) -> Reference:
    """Parse a reference to a model. Raises a `UsageError` for any other."""
    reference = parse(text)
    if reference.deployment or not reference.name:
        what = "a deployment" if reference.deployment else "a version id"
        raise UsageError(f"expected owner/name or owner/name:version, got {what}")
    return reference


def _described(
    reference: Reference, model: Mapping[str, Any], found: Version | None, options: Options
) -> dict[str, Any]:
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
        "inputs": [{**field.to_dict(), "takes": _takes(field)} for field in version.inputs.fields],
        "output": {"type": output_words(version.schema), **version.output},
        "example": _example(reference, model, version, options) if found else None,
    }


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _takes(field: Input) -> str:
    """The range or the possible values of an input."""
    enum = field.shape.enum or (field.shape.items.enum if field.shape.items else ())
    return f"one of {', '.join(map(_word, enum))}" if enum else bounds(field.shape)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else output.to_json(value, indent=False)


# Text -------------------------------------------------------------------------------------------------------------


def _shown(data: Mapping[str, Any]) -> str:
    version = data["version"]
    parts = [
        f"{heading(data['model'])}  {', '.join(_facts(data))}",
        wrapped(data["description"]) if data["description"] else "",
        _versions(data),
        f"{heading('inputs')}\n{table(map(_row, data['inputs'])) or '  none in its schema'}" if version else "",
        f"{heading('output')}\n  {data['output']['type']}" if version else "",
        f"{heading('example')}\n  {data['example']}" if version else "",
    ]
    return "\n\n".join(filter(None, parts))


def _facts(data: Mapping[str, Any]) -> list[str]:
    count = "" if data["run_count"] is None else f"run {data['run_count']:,} times"
    return [*filter(None, [data["visibility"], "official" if data["official"] else "not official", count])]


def _versions(data: Mapping[str, Any]) -> str:
    rows = [("version", data["version"])] if data["version"] != data["latest_version"] else []
    return table([*rows, ("latest version", data["latest_version"] or "none")], "")


def _row(item: Mapping[str, Any]) -> tuple[str, ...]:
    takes = item["takes"]
    text = f"{takes[:1].upper()}{takes[1:]}. " if takes else ""
    return item["name"], item["type"], _presence(item), text + item.get("description", "")


def _presence(item: Mapping[str, Any]) -> str:
    if item["required"]:
        return "required"
    if item.get("default") is None:
        return "optional"
    text = output.to_json(item["default"], indent=False)
    return text if len(text) <= _MAX_SHOWN // 2 else text[: _MAX_SHOWN // 2] + "…"


def _clean(value: Any) -> Any:
    """The data with every text on one line and safe to print, since the model's author wrote it."""
    match value:
        case str():
            return safe(" ".join(value.split()))
        case list():
            return [_clean(item) for item in value]
        case dict():
            return {_clean(name): _clean(item) for name, item in value.items()}
    return value


# The example ------------------------------------------------------------------------------------------------------


def _example(reference: Reference, model: Mapping[str, Any], version: Version, options: Options) -> str:
    """A command line that runs the model with its required inputs."""
    given = mapping(mapping(model.get("default_example")).get("input"))
    work = {field.name: _value(field, given.get(field.name)) for field in version.inputs.fields if field.required}
    name = f"{reference.owner}/{reference.name}"
    call = f"{PROVIDER}.run({literal(f'{name}:{version.id}' if reference.version else name)}, {literal(work)})"
    flags = " --emulate" if options.emulate else " --write allow"
    account = f" --account {options.account}" if options.account != DEFAULT_ACCOUNT else ""
    return f"kosmo lua{flags}{account} --eval {quoted(f'return ({call})')}"


def _value(field: Input, shown: Any) -> Any:
    """The value in the model's own example if it fits on a line, else a value of the type."""
    if isinstance(shown, bool | int | float):
        return shown
    if isinstance(shown, str) and shown.isprintable() and len(shown) <= _MAX_EXAMPLE:
        return shown
    shape = field.shape
    if shape.enum:
        return shape.enum[0]
    kind = shape.kinds[0] if shape.kinds else "string"
    number = shape.minimum if shape.minimum is not None else shape.maximum if shape.maximum is not None else 1
    text = "https://example.com/file" if shape.is_file else "…"
    return {"string": text, "boolean": True, "array": [], "object": {}}.get(kind, number)
