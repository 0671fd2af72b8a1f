"""Compare what a call sent with a prediction, training or file as the API shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from kosmolua.gate.policy import model_of
from kosmolua.replicate.structs import FileContent, LocalFile

REDACTED = "[REDACTED]"  # how the API shows an input that the model's schema declares as secret
_MAX_NUMBER = 400  # characters of a text that may be a number

Likeness = Literal["same", "maybe", "other"]
"""``maybe``: the API may have changed the value, since it moves files, hides secrets and adds defaults."""


def likeness(kind: str | None, given: Mapping[str, Any], item: Mapping[str, Any]) -> Likeness:
    """Compare the arguments of a create with an item of the API's list. ``kind`` is the kind of object that the call
    creates.
    """
    if kind == "file":
        return _file(given["content"], item.get("checksums"))
    runs = _runs(kind, given, item)
    if runs == "other":
        return "other"
    if item.get("data_removed"):
        return "maybe"
    return _worse(runs, alike(given.get("input") or {}, item.get("input")))


def alike(given: Any, shown: Any) -> Likeness:
    """Compare an input with the one that the API shows. A null input counts as absent."""
    match given, shown:
        case (dict(), dict()):
            return _objects(given, shown)
        case (list(), list()) if len(given) == len(shown):
            return _worse("same", *map(alike, given, shown))
        case (LocalFile(), _):
            return "maybe" if isinstance(shown, str) else "other"
    return "same" if _equal(given, shown) else _hidden(given, shown)


def _equal(given: Any, shown: Any) -> bool:
    match given, shown:
        case (bool(), _) | (_, bool()):
            return given is shown
        case (str(), int() | float()):
            return bool(_number(given) == shown)
        case (bytes(), str()):
            return bool(given == shown.encode())
        case (dict() | list(), dict() | list()):
            return not given and not shown  # an empty Lua table is sent as the type that the schema asks for
    return bool(given == shown)


def _objects(given: Mapping[str, Any], shown: Mapping[str, Any]) -> Likeness:
    given, shown = ({name: value for name, value in each.items() if value is not None} for each in (given, shown))
    found = [alike(value, shown[name]) if name in shown else "other" for name, value in given.items()]
    return _worse("same" if len(shown) == len(given) else "maybe", *found)


def _hidden(given: Any, shown: Any) -> Likeness:
    """Compare with a value that the API hides: a redacted secret, or a file moved to a URL of the API."""
    if not isinstance(shown, str):
        return "other"
    if shown == REDACTED and isinstance(given, str | bytes):
        return "same"
    moved = isinstance(given, str) and given.startswith("data:") and "://" in shown
    hidden = "redacted" in shown.lower() or (shown and set(shown) == {"*"})
    return "maybe" if moved or hidden else "other"


def _number(text: str) -> Any:
    """The number that the text spells, else None: numbers given as text are sent as numbers."""
    if len(text) > _MAX_NUMBER or not text.strip("-")[:1].isdigit():
        return None
    import json

    try:
        return json.loads(text)
    except ValueError:
        return None


def _file(content: Any, checksums: Any) -> Likeness:
    found = checksums.get("sha256") if isinstance(checksums, dict) else None
    return "maybe" if found is None else "same" if found == _digest(content) else "other"


def _digest(content: Any) -> str:
    if isinstance(content, FileContent):
        return content.digest()
    import hashlib  # loads OpenSSL: 3 ms

    return hashlib.sha256(content.encode() if isinstance(content, str) else bytes(content)).hexdigest()


def _runs(kind: str | None, given: Mapping[str, Any], item: Mapping[str, Any]) -> Likeness:
    """Whether the item runs what the call asked for."""
    if "deployment_name" in given:
        shown, slug = item.get("deployment"), f"{given['deployment_owner']}/{given['deployment_name']}"
        return "maybe" if not shown else "same" if shown == slug else "other"
    if kind == "training":
        wanted, shown = given["destination"], item.get("destination")
        if shown and shown != wanted:
            return "other"
    wanted = str(given.get("version_id") or given.get("version") or model_of(given))
    version = wanted.rpartition(":")[2]
    model = model_of(given)
    if "/" not in version and item.get("version") != "hidden":
        return "same" if item.get("version") == version else "other"
    return "same" if item.get("model") == model else "other" if model else "maybe"


def _worse(*found: str) -> Likeness:
    return "other" if "other" in found else "maybe" if "maybe" in found else "same"
