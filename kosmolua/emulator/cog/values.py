"""Converts inputs for cog and outputs for the API, including their files."""

from __future__ import annotations

import base64
import binascii
import mimetypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kosmolua.emulator.models import Content, FileRef
from kosmolua.emulator.models import given as as_content
from kosmolua.emulator.schema import plain, resolve

Fetch = Callable[[str], str]


@dataclass(frozen=True)
class Kind:
    """What a server runs: the path of its requests, and the names of its input and output schemas."""

    place: str
    input: str
    output: str


PREDICTION = Kind("predictions", "Input", "Output")
TRAINING = Kind("trainings", "TrainingInput", "TrainingOutput")


def sent_input(schema: Mapping[str, Any], kind: Kind, given: Mapping[str, Any], fetch: Fetch) -> dict[str, Any]:
    """The input for cog. ``fetch`` returns the replacement for a file URL.

    Null is left out of inputs that may be null: cog 0.23 refuses it. A whole number is written without a fraction for
    an integer: cog 0.23 gives the model what is written.
    """
    fields = resolve(schema, kind.input).get("properties", {})
    shapes = {name: plain(shape, schema) for name, shape in fields.items()}
    return {
        name: _sent(value, shapes.get(name, {}), schema, fetch)
        for name, value in given.items()
        if value is not None or not shapes.get(name, {}).get("nullable")
    }


def _sent(value: Any, shape: Mapping[str, Any], schema: Mapping[str, Any], fetch: Fetch) -> Any:
    if isinstance(value, list):
        items = plain(shape.get("items"), schema)
        return [_sent(item, items, schema, fetch) for item in value]
    if isinstance(value, float) and value.is_integer() and shape.get("type") == "integer":
        return int(value)
    return fetch(value) if isinstance(value, str) and shape.get("format") == "uri" else value


@dataclass
class ShownOutput:
    """An output of cog as the API shows it, and its files by name."""

    schema: Mapping[str, Any]
    kind: Kind
    files: dict[str, tuple[str, Content]] = field(default_factory=dict)
    size: int = 0

    def output(self, value: Any) -> Any:
        return self._shown(value, resolve(self.schema, self.kind.output))

    def _shown(self, value: Any, shape: Any) -> Any:
        shape = plain(shape, self.schema)
        if isinstance(value, list):
            return [self._shown(item, shape.get("items")) for item in value]
        if isinstance(value, dict):
            fields, others = shape.get("properties", {}), shape.get("additionalProperties")
            return {name: self._shown(item, fields.get(name, others)) for name, item in value.items()}
        text = shape.get("type") == "string" and shape.get("format") != "uri"
        return self._file(value) if isinstance(value, str) and not text else value

    def _file(self, text: str) -> Any:
        found = read_data(text)
        if found is None:
            return text
        content_type, content = found
        name = f"out-{len(self.files)}{mimetypes.guess_extension(content_type) or '.bin'}"
        self.files[name] = content_type, as_content(content)
        self.size += len(content)
        return FileRef(name)


def read_data(text: str) -> tuple[str, bytes] | None:
    """The content type and bytes of a data URL as cog writes it; None for any other text."""
    head, comma, encoded = text[5:].partition(",") if text.startswith("data:") else ("", "", "")
    if not comma or not head.endswith(";base64"):
        return None
    try:
        content_type = head.removesuffix(";base64").partition(";")[0]
        return content_type or "application/octet-stream", base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None


def refusal(document: Any) -> str:
    """Cog's reason to refuse an input, in one line: ``detail`` as FastAPI and coglet write it."""
    detail = document.get("detail") if isinstance(document, Mapping) else None
    if isinstance(detail, list):
        return "; ".join(_fault(one) for one in detail)
    return str(detail or "no reason given")


def _fault(one: Any) -> str:
    if not isinstance(one, Mapping):
        return str(one)
    place = one.get("loc")
    where = ".".join(str(part) for part in place if part != "body") if isinstance(place, list) else ""
    return f"{where}: {one.get('msg')}" if where else str(one.get("msg"))


def streamed(schema: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether the output grows while the model runs, and whether it is text to be streamed."""
    output = plain(resolve(schema, "Output"), schema)
    items = plain(output.get("items"), schema)
    grows = output.get("x-cog-array-type") == "iterator" and not has_files(items, schema)
    text = items.get("type") == "string"
    return grows, grows and text and output.get("x-cog-array-display") == "concatenate"


def has_files(shape: Any, schema: Mapping[str, Any], depth: int = 0) -> bool:
    """Whether a value of this shape may contain files. A value of an unspecified shape may."""
    shape = plain(shape, schema)
    kind = shape.get("type")
    if kind == "string":
        return bool(shape.get("format") == "uri")
    if kind in {"integer", "number", "boolean"}:
        return False
    parts = [*shape.get("properties", {}).values()] if kind == "object" else [shape.get("items")]
    return not parts or depth > _DEEP or any(has_files(part, schema, depth + 1) for part in parts)


_DEEP = 8
