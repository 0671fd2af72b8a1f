"""The page of a model: its inputs with defaults and ranges, its output, and an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from kosmolua.manual.model_example import example
from kosmolua.replicate.inputs import Input
from kosmolua.replicate.outputs import output_words
from kosmolua.replicate.ranges import bounds
from kosmolua.replicate.shape import mapping
from kosmolua.replicate.versions import Reference, Version
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import heading, table, wrapped

MAX_WORDS = 12  # the most values of an enum that are shown
_MAX_DEFAULT = 30  # the most characters of a default that are shown


def described(
    reference: Reference, model: Mapping[str, Any], found: Version | None, flags: str, *, whole: bool = False
) -> dict[str, Any]:
    """The page as data. ``model`` is an unvalidated answer of get_model; ``whole`` lists long enums completely.
    ``flags`` are the flags that the example needs.
    """
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
        "example": example(reference, model, version, flags) if found else None,
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
    """The range or the possible values of an input; for a long enum, the first values and the number of others."""
    enum = field.shape.enum or (field.shape.items.enum if field.shape.items else ())
    words = [_literal(one) for one in (enum if whole else enum[:MAX_WORDS])]
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
    """The value as JSON, so that blanks and line breaks in a text are visible."""
    return msgspec.json.encode(value).decode()


def _line(text: str | None) -> str:
    """The words of a text on one line and safe to print, since the model's author wrote them."""
    return safe(" ".join((text or "").split()))
