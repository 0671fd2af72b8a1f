"""A script's header: comments at its top that declare what it needs. The gate enforces it.

--@ needs: create_prediction, get_prediction
--@ models: black-forest-labs/*
--@ max_predictions: 10
--@ schedule: 0 3 * * 1-5 Europe/Berlin
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from kosmolua.errors import PermissionDeniedError, UsageError
from kosmolua.gate.budget import Caps, starts_compute
from kosmolua.gate.policy import Call, fact, named, names
from kosmolua.replicate.catalogue import CUSTOM, OPERATIONS

MARK = "--@"
MAX_ITEMS, MAX_ITEM = 200, 200  # names in one declaration, and characters of each name
_CAPS = {f"max_{name}": name for name in Caps.__struct_fields__}
SCHEDULE = "schedule"  # when workers run the script: five fields, and a time zone if it is not UTC
KEYS = ("needs", "models", *_CAPS, SCHEDULE)
DESCRIBING = ("describe", "arg")  # describe the script; kosmolua.gate.described reads them


class Needs(Struct, frozen=True, kw_only=True):
    """What the header declares: globs of functions and models, None if not declared, the caps of the run, and its
    schedule: the expression and the time zone.
    """

    functions: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    caps: Caps = Caps()
    schedule: tuple[str, str] | None = None

    def check(self, call: Call) -> None:
        """Raise a `PermissionDeniedError` for a call that the header does not declare."""
        name = call.operation.name
        if self.functions is not None and not _any(name, self.functions):
            raise _undeclared(name, f"needs: {', '.join(self.functions)}", name)
        if self.models is None or not (starts_compute(call.operation) or names(call, "model")):
            return
        model = fact(call, "model")
        if model is None:
            raise _undeclared(name, f"models: {', '.join(self.models)}", "a model that the call does not name")
        if not _any(model, self.models):
            raise _undeclared(name, f"models: {', '.join(self.models)}", model)

    def to_dict(self) -> dict[str, Any]:
        caps = {f"max_{name}": cap for name in Caps.__struct_fields__ if (cap := getattr(self.caps, name)) is not None}
        return {
            **({"needs": list(self.functions)} if self.functions is not None else {}),
            **({"models": list(self.models)} if self.models is not None else {}),
            **caps,
            **({"schedule": " ".join(self.schedule)} if self.schedule else {}),
        }


def read(source: bytes, script: str) -> Needs:
    """Parse the header of a script. Raises a `UsageError` if it is invalid."""
    said: dict[str, Any] = {}
    for number, line in header(source):
        key, colon, value = line.partition(":")
        key = key.strip()
        if key.partition(" ")[0] in DESCRIBING:
            continue
        if not colon or key not in KEYS:
            raise _unknown(f"{script}:{number}", key)
        if key in said:
            raise UsageError(f"{script}:{number}: duplicate header key {key}")
        said[key] = _value(key, value.strip(), f"{script}:{number}")
    caps = {_CAPS[key]: value for key, value in said.items() if key in _CAPS}
    return Needs(
        functions=said.get("needs"), models=said.get("models"), caps=Caps(**caps), schedule=said.get("schedule")
    )


def header(source: bytes) -> Iterator[tuple[int, str]]:
    """The numbered declarations in the comments and empty lines at the top of a script."""
    if MARK.encode() not in source:
        return
    for number, line in enumerate(source.decode(errors="replace").split("\n"), 1):
        text = line.strip()
        if text.startswith(MARK):
            yield number, text.removeprefix(MARK)
        elif text and not _is_comment(text) and not (number == 1 and text.startswith("#")):
            return


def _is_comment(text: str) -> bool:
    return text.startswith("--") and not text.startswith("--[")


def _value(key: str, text: str, where: str) -> Any:
    if key == SCHEDULE:
        return _schedule(text, where)
    if key not in _CAPS:
        return _list(key, text, where)
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf") or (key not in {"max_cost", "max_seconds_of_compute"} and number % 1):
        raise UsageError(f"{where}: {MARK} {key}: expected a number of at least 0, got {text[:100]!r}")
    return number if number % 1 else int(number)


def _schedule(text: str, where: str) -> tuple[str, str]:
    from kosmolua.settings import cron

    words = text.split()
    expression, zone = " ".join(words[: cron.FIELDS]), words[cron.FIELDS :]
    if text.startswith("@"):
        expression, zone = words[0], words[1:]
    try:
        if len(zone) > 1:
            cron.parse(text)  # its message names the number of fields
        cron.parse(expression)
        cron.zone_of(zone[0] if zone else "UTC")
    except UsageError as error:
        raise UsageError(f"{where}: {MARK} {error.message}", hint=error.hint) from None
    return expression, zone[0] if zone else "UTC"


def _list(key: str, text: str, where: str) -> tuple[str, ...]:
    items = tuple(item.strip() for item in text.split(",") if item.strip())
    if len(items) > MAX_ITEMS or any(len(item) > MAX_ITEM for item in items):
        raise UsageError(
            f"{where}: {MARK} {key}: expected at most {MAX_ITEMS} names of at most {MAX_ITEM} characters each"
        )
    if key == "models":
        return tuple(item.lower() for item in items)
    short = tuple(item.removeprefix("replicate.").removeprefix("replicate_") for item in items)
    for item in short:
        if not named(item) and not item.startswith(CUSTOM):
            from kosmolua.replicate.nearest import nearest

            near = nearest(item, [operation.name for operation in OPERATIONS])
            raise UsageError(
                f"{where}: {MARK} needs: unknown function {item[:100]!r}"
                + (f"; did you mean {near[0]}?" if near else ""),
                hint="list all functions: kosmo integrations:replicate",
            )
    return short


def _any(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs)


def _undeclared(function: str, line: str, what: str) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"{function}: the script's header `{MARK} {line}` does not include {what}",
        hint="ask the script's author to add it to the header; --force does not bypass the header",
    )


def _unknown(where: str, key: str) -> UsageError:
    from kosmolua.replicate.nearest import nearest

    near = nearest(key, KEYS)
    suggestion = f"; did you mean {near[0]}?" if near else f"; expected one of {', '.join(KEYS)}"
    return UsageError(f"{where}: unknown header key {key[:100]!r}{suggestion}", hint=f"example: {MARK} max_calls: 100")
