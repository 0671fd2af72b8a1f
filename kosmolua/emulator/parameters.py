"""Reads the arguments of a request according to the catalogue, and rejects what the API would reject."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from kosmolua.emulator import problem, schema, webhooks
from kosmolua.emulator.call import ApiRequest
from kosmolua.replicate.catalogue import Operation, Parameter

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")
SHORTEST_DEADLINE = 5
LONGEST_WAIT = 60


def read(operation: Operation, request: ApiRequest, path: Mapping[str, str]) -> dict[str, Any]:
    """All arguments by name. Raises a ProblemError with status 400 or 422."""
    arguments: dict[str, Any] = {**path, **_query(operation, request), **_headers(operation, request)}
    if operation.content_type == "application/json":
        arguments |= _body(operation, request)
    return arguments


def _of(operation: Operation, place: str) -> list[Parameter]:
    return [parameter for parameter in operation.parameters if parameter.place == place]


def _shape(parameters: list[Parameter]) -> dict[str, Any]:
    return {
        "required": [parameter.name for parameter in parameters if parameter.required],
        "properties": {parameter.name: _schema(parameter) for parameter in parameters},
    }


def _schema(parameter: Parameter) -> dict[str, Any]:
    facts: dict[str, Any] = {"type": parameter.kind, "minimum": parameter.minimum, "maximum": parameter.maximum}
    if parameter.enum and parameter.kind == "array":
        facts["items"] = {"enum": parameter.enum}
    elif parameter.enum:
        facts["enum"] = parameter.enum
    return facts


def _query(operation: Operation, request: ApiRequest) -> dict[str, Any]:
    parameters = _of(operation, "query")
    found: dict[str, Any] = {one.name: request.args[one.name] for one in parameters if one.name in request.args}
    for parameter in parameters:
        if parameter.kind == "integer" and re.fullmatch(r"-?\d+", str(found.get(parameter.name))):
            found[parameter.name] = int(found[parameter.name])
    _refuse(schema.check_object(_shape(parameters), found, ""))
    return found


def _body(operation: Operation, request: ApiRequest) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(request.get_data() or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise problem.bad_request(f"The request body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise problem.bad_request(f"The request body must be an object, got {schema.type_name(body)}")
    given = {name: value for name, value in body.items() if value is not None}
    _refuse(schema.check_object(_shape(_of(operation, "body")), given, ""))
    _refuse(_webhook_faults(given))
    return given


def _webhook_faults(given: Mapping[str, Any]) -> list[schema.Problem]:
    url = given.get("webhook", "https://")
    if url.startswith("https://") or webhooks.is_sent(url):
        return []
    return [("format", "webhook", "Must be an HTTPS URL")]


def _headers(operation: Operation, request: ApiRequest) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if not operation.blocking:
        return found
    if (prefer := request.headers.get("Prefer")) is not None:
        found["wait"] = _wait(prefer)
    if (after := request.headers.get("Cancel-After")) is not None:
        found["cancel_after"] = _cancel_after(after)
    return found


def _wait(prefer: str) -> float | None:
    """Seconds to wait before the answer; None if the header has no wait preference."""
    name, _, value = (part.strip() for part in prefer.partition("="))
    if name.lower() != "wait":
        return None
    if not value and "=" not in prefer:
        return float(LONGEST_WAIT)
    if value.isascii() and value.isdigit() and 1 <= int(value) <= LONGEST_WAIT:
        return float(value)
    raise problem.invalid([("pattern", "Prefer", 'Must be "wait" or "wait=n" with n from 1 to 60')])


def _cancel_after(text: str) -> float:
    match = _DURATION.fullmatch(text.strip())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if total < SHORTEST_DEADLINE:
        raise problem.invalid([("pattern", "Cancel-After", "Must be a duration of at least 5 seconds")])
    return float(total)


def _refuse(faults: list[schema.Problem]) -> None:
    if faults:
        raise problem.invalid(faults)
